//! What the scripts answer. A server is not trusted to have run them.

use ::redis::Value;
use bytes::Bytes;

use super::super::{Answer, Command, Op, Page, StoreError, Usage, shelf};

/// The addon's usage, and one answer for each operation, or why nothing was done.
pub(super) fn answers(value: Value, commands: &[Command]) -> Result<(Usage, Vec<Answer>), StoreError> {
    let Value::Array(values) = value else { return Err(odd()) };
    let mut values = values.into_iter();
    let kind = bytes(values.next())?;
    if &*kind == b"-" {
        return Err(refusal(&bytes(values.next())?, &text(values.next())?));
    }
    let usage = Usage { bytes: number(values.next())?, keys: number(values.next())? };
    let mut answers = Vec::with_capacity(commands.len());
    for (_, op) in commands {
        answers.push(match (op, values.next()) {
            (Op::Get, Some(Value::Nil)) => Answer::Value(None),
            (Op::Get, value) => Answer::Value(Some(bytes(value)?)),
            (Op::Increment(..), value) => Answer::Sum(number(value)?),
            (_, Some(Value::Int(done @ 0..=1))) => Answer::Done(done == 1),
            _ => return Err(odd()),
        });
    }
    Ok((usage, answers))
}

/// A page of a scan.
pub(super) fn page(value: Value) -> Result<Page, StoreError> {
    let Value::Array(values) = value else { return Err(odd()) };
    let mut values = values.into_iter();
    let next = Some(text(values.next())?).filter(|next| !next.is_empty());
    let mut page = Page { entries: Vec::new(), next };
    while let Some(key) = values.next() {
        page.entries.push((text(Some(key))?, bytes(values.next())?));
    }
    Ok(page)
}

fn refusal(kind: &[u8], text: &str) -> StoreError {
    match kind {
        b"large" => StoreError::TooLarge(text.to_owned()),
        b"answer" => text.parse().map_or_else(|_| odd(), shelf::too_much),
        b"number" => StoreError::Invalid("number to increment".to_owned()),
        b"sum" => StoreError::Invalid("sum beyond 64 bits".to_owned()),
        _ => odd(),
    }
}

fn bytes(value: Option<Value>) -> Result<Bytes, StoreError> {
    match value {
        Some(Value::BulkString(bytes)) => Ok(bytes.into()),
        _ => Err(odd()),
    }
}

fn text(value: Option<Value>) -> Result<String, StoreError> {
    String::from_utf8(bytes(value)?.into()).map_err(|_| odd())
}

fn number<T: std::str::FromStr>(value: Option<Value>) -> Result<T, StoreError> {
    text(value)?.parse().map_err(|_| odd())
}

fn odd() -> StoreError {
    StoreError::Unavailable("the server answered what makes no sense".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{super::super::Place, *};

    #[test]
    fn what_makes_no_sense_is_an_error() {
        let command = |op| vec![(Place::new("b", "k").expect("a place"), op)];
        let string = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let usage = [string("+"), string("66"), string("1")];
        let answer = |last: Value| Value::Array(usage.iter().cloned().chain([last]).collect());
        let sound = [
            (Op::Get, Value::Nil, Answer::Value(None)),
            (Op::Get, string("v"), Answer::Value(Some("v".into()))),
            (Op::Delete, Value::Int(1), Answer::Done(true)),
            (Op::Increment(1, None), string("-5"), Answer::Sum(-5)),
        ];
        for (op, last, expected) in sound {
            assert_eq!(answers(answer(last), &command(op)), Ok((Usage { bytes: 66, keys: 1 }, vec![expected])));
        }
        for (op, value) in [
            (Op::Get, Value::Okay),
            (Op::Get, Value::Array(Vec::new())),
            (Op::Get, Value::Array(usage.to_vec())),
            (Op::Delete, answer(Value::Int(2))),
            (Op::Increment(1, None), answer(string("x"))),
            (Op::Get, Value::Array(vec![string("-"), string("what"), string("")])),
        ] {
            assert_eq!(answers(value.clone(), &command(op)), Err(odd()), "{value:?}");
        }
        let entry = |key: Vec<u8>| Value::Array(vec![string(""), Value::BulkString(key), string("v")]);
        assert_eq!(page(entry(b"k".to_vec())).map(|page| page.entries), Ok(vec![("k".to_owned(), "v".into())]));
        assert_eq!((page(entry(vec![0xff])), page(Value::Nil)), (Err(odd()), Err(odd())));
        assert_eq!(page(Value::Array(vec![string("k"), string("k")])), Err(odd()));
    }
}
