//! Guests that write to the log, or ask the host for things, without end.
#![cfg(test)]

use tollgate_tests::{
    addons::{Siege, hostile, hostile_as},
    eventually,
};

/// Each prints, logs or talks until its time is over; and whether that is more lines than anybody may write.
const FLOODS: [(&str, bool); 4] = [("flood-lines", true), ("flood-log", true), ("flood-stdout", false), ("flood-panics", false)];

#[tokio::test]
async fn floods_end_with_their_time() {
    let guests = FLOODS.map(|(name, _)| (name.to_owned(), hostile(name)));
    let siege = Siege::by(guests, |mut builder| {
        for (name, _) in FLOODS {
            builder = builder.set(&format!("addon.{name}.cpu"), "200ms");
        }
        builder
    })
    .await;
    for (name, is_over_the_rate) in FLOODS {
        siege.repels(name, "deadlines", "cpu budget of 200ms").await;
        if is_over_the_rate {
            eventually(async || {
                siege.ask(name).await;
                siege.admin().counter(name, "log_lines_dropped").await > 0
            })
            .await;
            siege.tells(name, "more log lines than it may").await;
        }
    }
    siege.is_lifted().await;
}

#[tokio::test]
async fn long_lines_are_cut() {
    let call = "(memory.fill (i32.const 16384) (i32.const 122) (i32.const 16384))
        (call $log (i32.const 2) (i32.const 16384) (i32.const 16384) (i32.const 0) (i32.const 0))";
    let log = hostile_as("log", "calling", &[("call", call)]);
    let guests = [("flood-stdout".to_owned(), hostile("flood-stdout")), ("log".to_owned(), log)];
    let siege = Siege::by(guests, |builder| builder).await;
    for (name, letter) in [("flood-stdout", "x"), ("log", "z")] {
        siege.ask(name).await;
        siege.tells(name, &letter.repeat(8 << 10)).await;
        assert!(!siege.logs().contains(&letter.repeat((8 << 10) + 1)), "{name}");
    }
    siege.is_lifted().await;
}
