//! What a rule costs: its condition beside `cel`'s interpreter, its text beside plain minijinja. Both peers as their users would have them: compiled
//! once, the variables made of each row.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use minijinja::context;
use tidewatch::avro::{Row, Shape, Value};
use tidewatch::processors::{Condition, Escape, Template};

use super::pair::Pair;
use super::rows::{self, BATCH};

/// Where a row of changes has the fields that the rules use.
#[derive(Clone, Copy)]
struct Places([usize; 5]);

impl Places {
    fn of(shape: &Shape) -> Self {
        let paths = ["current.title", "previous.views", "current.views", "previous.likes", "current.likes"];
        Self(paths.map(|path| shape.index_of(path).unwrap()))
    }

    fn values(self, row: &Row) -> (&str, [i64; 4]) {
        let [title, numbers @ ..] = self.0;
        let Value::String(title) = row.get(title) else { panic!("every change has a title") };
        let number = |place| if let Value::Long(number) = row.get(place) { *number } else { panic!("every change has its counts") };
        (title, numbers.map(number))
    }
}

fn condition(name: &'static str, text: &'static str) -> Pair {
    let changes = rows::changes();
    let places = Places::of(&changes.shape);
    let ours = Condition::compile(text, &changes.shape).unwrap();
    let env = Arc::new(cel::Env::stdlib());
    let program = env.compile(text).unwrap();
    let judge = move |row: &Row| {
        let (title, [previous_views, views, previous_likes, likes]) = places.values(row);
        let mut context = cel::Context::with_env(Arc::clone(&env));
        let previous: HashMap<&str, cel::Value> = HashMap::from([("views", previous_views.into()), ("likes", previous_likes.into())]);
        let current = HashMap::from([("views", cel::Value::from(views)), ("likes", likes.into()), ("title", title.into())]);
        context.add_variable_from_value("previous", previous);
        context.add_variable_from_value("current", current);
        program.execute(&context).unwrap() == cel::Value::Bool(true)
    };
    for row in &changes.rows {
        assert_eq!(ours.test(row).unwrap(), judge(row), "the two sides do not judge alike");
    }
    let rows = changes.rows.clone();
    let theirs = Box::new(move || {
        for row in &rows {
            black_box(judge(black_box(row)));
        }
    });
    let ours = Box::new(move || {
        for row in &changes.rows {
            black_box(ours.test(black_box(row)).unwrap());
        }
    });
    Pair { name, records: BATCH, ours, peer: "cel", theirs }
}

/// The shipped rule about likes, and one that computes and looks into a text.
pub(crate) fn conditions() -> Vec<Pair> {
    vec![
        condition("condition, shipped", "current.likes != previous.likes"),
        condition(
            "condition, longer",
            "current.views != null && previous.views != null && current.views >= previous.views + 100 && current.title.contains(\"late\")",
        ),
    ]
}

fn template(name: &'static str, text: &'static str) -> Pair {
    let changes = rows::changes();
    let places = Places::of(&changes.shape);
    let ours = Template::compile(text, &changes.shape, Escape::None).unwrap();
    let mut environment = minijinja::Environment::new();
    environment.add_template("text", text).unwrap();
    let render = move |row: &Row| {
        let (title, [previous_views, views, previous_likes, likes]) = places.values(row);
        let variables = context! {
            previous => context! { views => previous_views, likes => previous_likes },
            current => context! { views => views, likes => likes, title => title },
        };
        environment.get_template("text").unwrap().render(variables).unwrap()
    };
    for row in &changes.rows {
        let mut text = String::new();
        ours.render(row, &mut text).unwrap();
        assert_eq!(text, render(row), "the two sides do not write alike");
    }
    let rows = changes.rows.clone();
    let theirs = Box::new(move || {
        for row in &rows {
            black_box(render(black_box(row)));
        }
    });
    let mut into = String::new();
    let ours = Box::new(move || {
        for row in &changes.rows {
            into.clear();
            ours.render(black_box(row), &mut into).unwrap();
            black_box(&into);
        }
    });
    Pair { name, records: BATCH, ours, peer: "minijinja", theirs }
}

/// The shipped text, which is rendered straight from the row, and one that takes minijinja's own engine on both sides.
pub(crate) fn templates() -> Vec<Pair> {
    vec![
        template("template, shipped", "Likes changed: {{ previous.likes }} => {{ current.likes }}. {{ current.title }}"),
        template(
            "template, with logic",
            "{% if current.views > 12000 %}Many: {% endif %}{{ current.views - previous.views }} more views. {{ current.title|upper }}",
        ),
    ]
}
