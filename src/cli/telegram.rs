//! `telegram`: finds the ids of chats, and tries whether messages arrive.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::context::Context;
use super::shutdown::Shutdown;
use super::terminal::{Out, say};
use super::{Error, Result, dry_run};
use crate::config::{BotApi, LoadOptions, Origin, Rates};
use crate::telegram::{BuildError, Chat, Client, Failure, Limits, Message, Options, Outcome, Request, chats};

/// What the test message says.
const TEXT: &str = "tidewatch can write here.";

/// The most that one getUpdates gives.
const UPDATES_MAX: u8 = 100;

/// How often it is looked whether the command is to end.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

const WRITE_FIRST: &str = "Write to the bot, or add it to the group or channel and write there, then ask again.";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show who wrote to the bot: the name, type and id of each chat
    ///
    /// It asks Telegram for what it still has (24 hours at most) and confirms nothing, so that nothing is lost for others. A person is found after
    /// they pressed Start, a group or channel after the bot was added to it. Of the topology file only [telegram] is read.
    Chats(ChatsArgs),
    /// Send a short message to every chat that the topology names
    Test(TestArgs),
    /// Show what would be sent now, without sending it
    ///
    /// Those messages that wait for their turn come first, then those that the sender has not read yet. Telegram is not asked and nothing is written.
    /// It says what would be sent, not when: limits and pauses are left out.
    DryRun(dry_run::Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct ChatsArgs {
    /// Print a JSON object per line: `id`, `type`, `name`, `username`, `left`, `topics`
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct TestArgs {
    /// Send to this chat alone: a number, or @name of a public group or channel. Of the topology file only [telegram] is read then
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    chat: Option<String>,
}

/// A chat, and the topic in it; 0 for none.
type Recipient = (String, i64);

/// Some chats did not get their message.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {count} {} got no message", if *count == 1 { "chat" } else { "chats" })]
struct NotSent {
    failed: usize,
    count: usize,
}

pub(super) fn execute(command: &Command, context: &Context, shutdown: &Shutdown) -> Result {
    if let Command::DryRun(args) = command {
        return dry_run::execute(args, context, shutdown);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::internal)?;
    let work = async {
        match command {
            Command::Chats(args) => show_chats(args, context).await,
            Command::Test(args) => test(args, context).await,
            // Done above: it asks nobody over the network.
            Command::DryRun(_) => Ok(()),
        }
    };
    let ended = runtime.block_on(async {
        tokio::select! {
            done = work => done,
            () = asked_to_end(shutdown) => Err(Error::unavailable("stopped before it was done")),
        }
    });
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    ended
}

async fn asked_to_end(shutdown: &Shutdown) {
    while !shutdown.requested() {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

async fn show_chats(args: &ChatsArgs, context: &Context) -> Result {
    let (client, api) = connect(context, context.bot_api()?)?;
    let webhook = client.get_webhook_info().await.map_err(failed)?;
    if let Some(host) = webhook.host {
        let error = Error::user(format!("what people write to this bot goes to a webhook at {host}: it cannot be asked for"));
        return Err(error.hinted(format!("If nothing needs the webhook, delete it: `curl {}`.", url_to_delete_webhook(&api))));
    }
    let updates = client.get_updates(None, UPDATES_MAX, Duration::ZERO).await.map_err(failed)?;
    let chats = chats(&updates);
    let mut out = Out::new();
    let width = chats.iter().map(|chat| chat.name.chars().count()).max().unwrap_or_default();
    for chat in &chats {
        out.line(&if args.json { as_json(chat) } else { as_line(chat, width) })?;
    }
    out.flush()?;
    if chats.is_empty() {
        say(&format!("Nobody wrote to the bot in the last 24 hours. {WRITE_FIRST}"));
    } else if updates.len() == usize::from(UPDATES_MAX) {
        say("These are the chats of the oldest 100 updates; what came later is seen when another program has taken those.");
    }
    Ok(())
}

/// `River alerts  supergroup  -1001234567890  topics 17, 4`.
fn as_line(chat: &Chat, width: usize) -> String {
    let mut line = format!("{:width$}  {:<10}  {}", chat.name, chat.kind, chat.id);
    if !chat.topics.is_empty() {
        let topics: Vec<String> = chat.topics.iter().map(ToString::to_string).collect();
        // Writing to a string cannot fail.
        write!(line, "  {} {}", if topics.len() == 1 { "topic" } else { "topics" }, topics.join(", ")).unwrap_or_default();
    }
    if chat.left {
        line.push_str("  (the bot is not in it any more)");
    }
    line
}

fn as_json(chat: &Chat) -> String {
    let Chat { id, kind, name, username, left, topics } = chat;
    json!({ "id": id, "type": kind, "name": name, "username": username, "left": left, "topics": topics }).to_string()
}

/// With the token as the shell has it, never as it is.
fn url_to_delete_webhook(api: &BotApi) -> String {
    let token = match api.token.origin() {
        Origin::Env(name) => format!("${name}"),
        Origin::File(path) => format!("$(cat {})", path.display()),
        Origin::Literal => "TOKEN".to_owned(),
    };
    format!("\"{}/bot{token}/deleteWebhook\"", api.base_url.trim_end_matches('/'))
}

async fn test(args: &TestArgs, context: &Context) -> Result {
    let (api, recipients) = match &args.chat {
        Some(chat) => (context.bot_api()?, vec![(chat.clone(), 0)]),
        None => recipients(context)?,
    };
    let (client, _) = connect(context, api)?;
    let me = client.get_me().await.map_err(failed)?;
    say(&format!("The bot is {}{}.", me.name, me.username.map(|name| format!(" (@{name})")).unwrap_or_default()));
    let limits = Limits::new(&Rates::default(), Arc::clone(&context.clock));
    let mut out = Out::new();
    let mut failed = 0;
    for (chat, thread) in &recipients {
        limits.ready(chat).await;
        let message = Message { chat_id: chat.clone(), text: TEXT.to_owned(), message_thread_id: *thread, ..Message::default() };
        let (outcome, moved) = send(&client, message).await;
        let place = if *thread == 0 { chat.clone() } else { format!("{chat}, topic {thread}") };
        if matches!(outcome, Outcome::Sent { .. }) {
            out.line(&format!("{place}: sent"))?;
        } else {
            failed += 1;
            out.line(&format!("{place}: not sent: {}", outcome.reason()))?;
        }
        out.flush()?;
        let moved = moved.map(|id| format!("The group became a supergroup with the id {id}: put that one under `chat_id`."));
        for hint in moved.into_iter().chain(remedy(&outcome)) {
            say(&format!("{place}: {hint}"));
        }
        if let Outcome::Stop { .. } = outcome {
            break;
        }
    }
    if failed == 0 { Ok(()) } else { Err(Error::unavailable(NotSent { failed, count: recipients.len() })) }
}

/// Sends it; to a group that moved under its new id, which is returned.
async fn send(client: &Client, message: Message) -> (Outcome, Option<i64>) {
    let request = Request::Send(message);
    match (client.send(&request).await, request) {
        (Outcome::Migrated { chat_id }, Request::Send(message)) => {
            let again = Request::Send(Message { chat_id: chat_id.to_string(), ..message });
            (client.send(&again).await, Some(chat_id))
        }
        (outcome, _) => (outcome, None),
    }
}

/// Every chat of the topology once, each with the topic of its messages.
fn recipients(context: &Context) -> Result<(Option<BotApi>, Vec<Recipient>)> {
    let config = context.load(&LoadOptions::online())?;
    let mut recipients = Vec::new();
    for recipient in config.processors.iter().filter_map(|node| node.recipient.as_ref()) {
        let recipient = (recipient.chat_id.expose(), recipient.message_thread_id);
        if !recipients.contains(&recipient) {
            recipients.push(recipient);
        }
    }
    if recipients.is_empty() {
        return Err(Error::user("no rule of the topology sends a message").hinted("--chat ID names a chat."));
    }
    Ok((config.telegram.map(|telegram| telegram.api()), recipients))
}

/// A client for what the file says.
fn connect(context: &Context, api: Option<BotApi>) -> Result<(Client, BotApi)> {
    let Some(api) = api else {
        let error = Error::config(format!("{} has no [telegram], so there is no bot", context.config_path().display()));
        return Err(
            error.hinted("Add `[telegram]` with `token = { env = \"TELEGRAM_BOT_TOKEN\" }`; @BotFather makes bots and tells their tokens.")
        );
    };
    let options = Options::of(&api).ok_or_else(|| Error::internal("the bot's token was not read"))?;
    let client = Client::new(&options).map_err(|error| match error {
        BuildError::Http(_) => Error::internal(error),
        BuildError::Token(_) | BuildError::BaseUrl(_) => Error::config(error),
    })?;
    Ok((client, api))
}

fn failed(failure: Failure) -> Error {
    let hint = failure.hint();
    if failure.is_temporary() { Error::unavailable(failure) } else { Error::config(failure) }.hinted(hint)
}

/// What to do about a message that did not arrive.
fn remedy(outcome: &Outcome) -> Option<String> {
    let remedy = match outcome {
        Outcome::Sent { .. } | Outcome::Unchanged => return None,
        Outcome::Parked { .. } => {
            "A person must press Start in the chat with the bot; a group or channel must have the bot as a member that may write. \
             `tidewatch telegram chats` shows the ids of those within its reach."
        }
        Outcome::NoThread { .. } => "The group has no such topic, or it is closed: change `message_thread_id`, or leave it out.",
        Outcome::Wait { seconds, .. } => return Some(format!("Telegram wants no message for this chat for {seconds} s: try again then.")),
        Outcome::Retry { .. } => "Try again; if that does not help, look at the network and at `base_url` of [telegram].",
        Outcome::Unknown { .. } => "It may have arrived all the same: look into the chat.",
        Outcome::Stop { .. } => "Look at `token` and `base_url` of [telegram]; @BotFather tells the token (/mybots, API Token).",
        Outcome::Migrated { .. } | Outcome::Refused { .. } | Outcome::PlainText { .. } | Outcome::Gone { .. } => {
            "Look at `chat_id`: a number as `tidewatch telegram chats` shows it, or @name of a public group or channel."
        }
    };
    Some(remedy.to_owned())
}
