//! The table of errors, over real HTTP: what YouTube answers, what it is taken for, and what is to be done.

use super::*;

/// A body in the shape of the API: the first reason with its domain, and what `details` hold.
fn body(message: &str, reason: &str, domain: &str, details: &str) -> String {
    let message = message.replace('"', "\\\"");
    format!(
        r#"{{"error": {{"code": 0, "message": "{message}", "errors": [{{"message": "{message}", "domain": "{domain}", "reason": "{reason}"}}],
            "status": "SOME_STATUS", "details": [{details}]}}}}"#
    )
}

fn info(reason: &str, metadata: &str) -> String {
    format!(
        r#"{{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "{reason}", "domain": "googleapis.com", "metadata": {{{metadata}}}}}"#
    )
}

async fn of(status: u16, headers: &str, body: &str) -> Problem {
    let fake = Fake::saying(Answer::Of(status, headers.to_owned(), body.as_bytes().to_vec()));
    let problem = client(&fake).playlist_items("PLabc", None).await.unwrap_err();
    assert_eq!(fake.seen().len(), 1, "nothing is tried twice");
    problem
}

#[track_caller]
fn is(problem: &Problem, action: Action, said: &str) {
    assert_eq!((problem.to_string().as_str(), problem.action()), (said, action));
}

const MINUTE: Action = Action::BackOff { at_least: Duration::from_secs(60) };
const TEN_MINUTES: Action = Action::BackOff { at_least: Duration::from_secs(600) };

#[tokio::test]
async fn a_key_that_is_none() {
    let message = "API key not valid. Please pass a valid API key.";
    let problem = of(400, "", &body(message, "badRequest", "global", &info("API_KEY_INVALID", ""))).await;
    is(&problem, Action::Fatal, "YouTube does not know the API key (API_KEY_INVALID): \"API key not valid. Please pass a valid API key.\"");
    assert!(problem.hint().unwrap().contains("https://console.cloud.google.com/apis/credentials"));
    let legacy = of(400, "", &body("Bad Request", "keyInvalid", "usageLimits", "")).await;
    is(&legacy, Action::Fatal, "YouTube does not know the API key (keyInvalid): \"Bad Request\"");
    let missing = of(403, "", &body("The request is missing a valid API key.", "forbidden", "global", "")).await;
    is(&missing, Action::Fatal, "YouTube does not know the API key (forbidden): \"The request is missing a valid API key.\"");
    is(&of(401, "", "").await, Action::Fatal, "YouTube does not know the API key (no reason given)");
}

#[tokio::test]
async fn a_key_that_may_not() {
    let blocked = info("API_KEY_SERVICE_BLOCKED", r#""service": "youtube.googleapis.com""#);
    let problem = of(403, "", &body("Requests to this API youtube method are blocked.", "forbidden", "global", &blocked)).await;
    let said = "the API key is restricted and may not be used here (API_KEY_SERVICE_BLOCKED): \
                \"Requests to this API youtube method are blocked.\"";
    is(&problem, Action::Fatal, said);
    assert!(problem.hint().unwrap().contains("allow it the YouTube Data API v3"));
    let disabled = of(403, "", &body("x", "accessNotConfigured", "usageLimits", &info("SERVICE_DISABLED", ""))).await;
    is(&disabled, Action::Fatal, "the YouTube Data API v3 is not enabled in the project of the API key (SERVICE_DISABLED): \"x\"");
    assert!(disabled.hint().unwrap().contains("enable it at"));
    let suspended = of(403, "", &body("", "forbidden", "global", &info("CONSUMER_SUSPENDED", ""))).await;
    is(&suspended, Action::Fatal, "the project of the API key is not let in (CONSUMER_SUSPENDED)");
}

#[tokio::test]
async fn the_quota_of_the_day_and_the_rate_of_the_minute() {
    let message = "The request cannot be completed because you have exceeded your <a href=\"/youtube/v3/getting-started#quota\">quota</a>.";
    let spent = of(403, "", &body(message, "quotaExceeded", "youtube.quota", "")).await;
    is(&spent, Action::QuotaExhausted, "the quota of this day is spent (quotaExceeded)");
    assert!(spent.hint().unwrap().contains("midnight Pacific time"));
    // The reason decides, not the status.
    let odd = of(429, "", &body(message, "quotaExceeded", "youtube.quota", "")).await;
    assert_eq!(odd.action(), Action::QuotaExhausted);
    let legacy = of(403, "", &body("Daily Limit Exceeded.", "dailyLimitExceeded", "usageLimits", "")).await;
    is(&legacy, Action::QuotaExhausted, "the quota of this day is spent (dailyLimitExceeded)");

    let per = |limit: &str| info("RATE_LIMIT_EXCEEDED", &format!(r#""quota_limit": "{limit}""#));
    let minute = of(429, "", &body("x", "rateLimitExceeded", "global", &per("defaultPerMinutePerProject"))).await;
    is(&minute, MINUTE, "YouTube is asked too often (RATE_LIMIT_EXCEEDED)");
    let day = of(429, "", &body("x", "rateLimitExceeded", "global", &per("defaultPerDayPerProject"))).await;
    is(&day, Action::QuotaExhausted, "the quota of this day is spent (RATE_LIMIT_EXCEEDED)");
    let legacy = of(403, "", &body("x", "userRateLimitExceeded", "usageLimits", "")).await;
    is(&legacy, MINUTE, "YouTube is asked too often (userRateLimitExceeded)");
    is(&of(429, "", "<html>").await, MINUTE, "YouTube is asked too often (no reason given)");
    // It may ask for more patience, but not for any.
    let after = async |header: &str| of(429, header, "").await.action();
    assert_eq!(after("retry-after: 90\r\n").await, Action::BackOff { at_least: Duration::from_secs(90) });
    assert_eq!(after("retry-after: 5\r\n").await, MINUTE);
    assert_eq!(after("retry-after: 999999999\r\n").await, Action::BackOff { at_least: Duration::from_secs(3_600) });
    assert_eq!(after("retry-after: Wed, 21 Oct 2026 07:28:00 GMT\r\n").await, MINUTE);
}

#[tokio::test]
async fn a_playlist_that_cannot_be_read() {
    let message = "The request is not properly authorized to retrieve the specified playlist.";
    let private = of(403, "", &body(message, "playlistItemsNotAccessible", "youtube.playlistItem", "")).await;
    is(&private, Action::SkipList, "the playlist PLabc is private (playlistItemsNotAccessible)");
    assert!(private.hint().unwrap().contains("public or unlisted"));
    let message = "The playlist identified with the request's <code>playlistId</code> parameter cannot be found.";
    let not_found = of(404, "", &body(message, "playlistNotFound", "youtube.playlistItem", "")).await;
    is(&not_found, Action::SkipList, "YouTube knows no playlist PLabc (playlistNotFound)");
    // A reason that is new, but in the domain of the resource.
    let new = of(403, "", &body("x", "forbidden", "youtube.playlistItem", "")).await;
    is(&new, Action::SkipList, "the playlist PLabc is private (forbidden)");
    let new = of(404, "", &body("x", "goneAway", "youtube.playlistItem", "")).await;
    is(&new, Action::SkipList, "YouTube knows no playlist PLabc (goneAway)");
}

#[tokio::test]
async fn what_to_do_about_a_playlist_depends_on_what_it_is() {
    let fake = Fake::saying(Answer::Of(404, String::new(), body("x", "playlistNotFound", "youtube.playlistItem", "").into_bytes()));
    let client = client(&fake);
    for (list, wanted) in [
        ("UCabc", "this is the id of a channel: put it under `channels`, or name the playlist of its uploads, UUabc"),
        ("WL", "watch later, likes and history are their owner's alone: no key can read them"),
        ("LL", "watch later, likes and history are their owner's alone: no key can read them"),
        ("RDabc", "a mix (RD...) is made for whoever looks at it: no key can read it"),
        ("UUSHabc", "a channel that never had a video of this kind has no such list yet; it is asked for again later"),
        ("PLabc", "look at its address: the id is what follows `list=`; it may be deleted or private"),
    ] {
        let problem = client.playlist_items(list, None).await.unwrap_err();
        assert_eq!(problem.hint().as_deref(), Some(wanted), "{problem}");
    }
}

#[tokio::test]
async fn requests_that_are_refused() {
    let token = of(400, "", &body("The request specifies an invalid page token.", "invalidPageToken", "youtube.parameter", "")).await;
    is(&token, Action::RestartPaging, "YouTube does not take its own page token any more (invalidPageToken)");
    let message = "No filter selected. Expected one of: id, chart, myRating";
    let missing = of(400, "", &body(message, "missingRequiredParameter", "youtube.parameter", "")).await;
    let said = format!("YouTube refuses the request with status 400 (missingRequiredParameter): \"{message}\"");
    // It is what the API says to this request: to another one it may say something else.
    is(&missing, Action::SkipList, &said);
    let unknown = of(403, "", &body("no", "somethingNew", "global", "")).await;
    is(&unknown, Action::SkipList, "YouTube refuses the request with status 403 (somethingNew): \"no\"");
    is(&of(403, "", "<html>a wall</html>").await, TEN_MINUTES, "YouTube refuses the request with status 403 (no reason given)");
    let lost = of(404, "", "<html>Not Found</html>").await;
    is(&lost, TEN_MINUTES, "YouTube refuses the request with status 404 (no reason given)");
    assert!(lost.hint().unwrap().contains("base_url"));
    // What is said of playlists is nothing where none was asked for.
    let fake = Fake::saying(Answer::Of(404, String::new(), body("x", "playlistNotFound", "youtube.video", "").into_bytes()));
    assert!(matches!(client(&fake).videos(&["a"]).await.unwrap_err(), Problem::Refused { status: 404, .. }));
}

#[tokio::test]
async fn trouble_of_their_own() {
    let backend = of(500, "", &body("Backend Error", "backendError", "global", "")).await;
    is(&backend, Action::Retry, "YouTube is not available: status 500 (backendError): \"Backend Error\"");
    let message = "The service is currently unavailable.";
    let unavailable = of(503, "", &body(message, "backendError", "global", "")).await;
    is(&unavailable, Action::Retry, &format!("YouTube is not available: status 503 (backendError): \"{message}\""));
    let html = of(502, "", "<!DOCTYPE html>\n<html lang=en><title>Error 502 (Server Error)!!1</title></html>").await;
    is(&html, Action::Retry, "YouTube is not available: status 502 (no reason given)");
    let half = of(500, "", "{\"error\": {\"code\": 500, \"mess").await;
    is(&half, Action::Retry, "YouTube is not available: status 500 (no reason given)");
    let patient = of(503, "retry-after: 30\r\n", "").await;
    assert_eq!(patient.action(), Action::BackOff { at_least: Duration::from_secs(30) });
    is(&of(408, "", "").await, Action::Retry, "YouTube is not available: status 408 (no reason given)");
}

#[tokio::test]
async fn errors_whose_members_have_other_types() {
    for odd in [r#"{"error": "invalid_client"}"#, r#"{"error": {"errors": {}, "details": 5, "message": []}}"#, "[]", "5", "{}"] {
        is(&of(400, "", odd).await, TEN_MINUTES, "YouTube refuses the request with status 400 (no reason given)");
    }
}

#[tokio::test]
async fn what_they_say_is_one_line_without_tags_and_not_too_long() {
    let said = async |message: &str| match of(400, "", &body(message, "some Thing<b>!\\n", "global", "")).await {
        Problem::Refused { reason, said, .. } => (reason, said),
        other => panic!("{other}"),
    };
    assert_eq!(said("see <a href=\"/x\">the <b>docs</b></a><br/>, 5 < 6 > 4 <!-- x -->").await.1, "see the docs, 5 < 6 > 4");
    let (reason, text) = said("a\\nb\\u0000c\\u001b[31m\\td <").await;
    assert_eq!((reason.as_str(), text.as_str()), ("someThingb", "a b c [31m d <"));
    assert_eq!(said(&"é".repeat(1_000)).await.1.chars().count(), 300);
}
