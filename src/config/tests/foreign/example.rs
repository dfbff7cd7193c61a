//! `examples/orders.toml` at work.

use super::*;

const ACCOUNT: &str = r#"{"type":"record","name":"account","namespace":"bank","fields":[
    {"name":"owner","type":"string"},{"name":"tags","type":{"type":"map","values":"int"}},
    {"name":"balance","type":["null",{"type":"record","name":"money","fields":[{"name":"amount","type":"int"},{"name":"currency","type":"string"}]}]}]}"#;

fn example() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/orders.toml")
}

#[test]
fn json_and_a_schema_of_the_registry() {
    let ground = Ground::new();
    // Their producer was there before.
    ground.registry.register("accounts-value", &Schema::parse(ACCOUNT).unwrap()).unwrap();
    let config = load(&example(), &ground.options()).unwrap_or_else(|faults| panic!("{}", faults.render(Style::Plain)));
    assert!(config.warnings().iter().all(|fault| fault.code == "unused-node"), "{}", config.warnings().render(Style::Plain));
    let mut whole = ground.start(&config);
    for (status, amount, by) in [("paid", 12.5, None), ("shipped", 12.5, Some("Bo")), ("shipped", 12.5, Some("Bo"))] {
        let order = json!({ "status": status, "total": { "amount": amount }, "shippedBy": by, "lines": [{ "sku": "x" }] });
        whole.pipe("orders", Some(b"A-1"), Some(order.to_string().as_bytes()));
    }
    assert_eq!(whole.texts(), ["Order A-1: paid => shipped, 12.5 EUR Bo"]);
    for amount in [30, 5, -7, -8] {
        let account = json!({ "owner": "Ada", "tags": { "vip": 1 }, "balance": { "amount": amount, "currency": "EUR" } });
        whole.avro("accounts", &42_i64.to_be_bytes(), ACCOUNT, &account);
    }
    assert_eq!(whole.texts(), ["Account 42 of Ada is overdrawn: -7"]);
    let changes = whole.read("account_changes");
    assert_eq!(changes.len(), 3);
    assert_eq!(changes[0].0, 42_i64.to_be_bytes());
    let change = &changes[0].1;
    assert_eq!(
        (&change["key"], &change["balance_amount_previous"], &change["balance_amount_current"]),
        (&json!(42), &json!(30), &json!(5))
    );
    assert!(whole.dead().is_empty());
}

#[test]
fn offline_says_what_it_does_not_know() {
    let faults = load(&example(), &LoadOptions::offline()).unwrap_err();
    let codes: Vec<_> = faults.iter().map(|fault| fault.code).collect();
    assert_eq!(codes, ["registry-schema"]);
}
