//! The smallest addon: adds a header to every response.

use tollgate_sdk::{Addon, Error, Event, Flow, NoOptions, OptionErrors, Request, Response, ResponseVerdict, Subscription};

struct HelloHeader;

impl Addon for HelloHeader {
    type Options = NoOptions;

    fn configure(_options: NoOptions) -> Result<Self, OptionErrors> {
        Ok(Self)
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        vec![Subscription::to(Event::Response)]
    }

    fn response(&mut self, _flow: &Flow, _request: &Request, response: &mut Response) -> Result<ResponseVerdict, Error> {
        response.set_header("X-Hello", "from an addon")?;
        Ok(ResponseVerdict::Next)
    }
}

tollgate_sdk::export!(HelloHeader);

#[cfg(test)]
mod tests {
    use tollgate_sdk::{
        serde_json::json,
        testing::{Harness, TestRequest, TestResponse},
    };

    use super::*;

    #[test]
    fn every_response_gets_the_header() {
        let harness = Harness::<HelloHeader>::configure(json!({})).expect("no options are legal");
        let done = harness.exchange(TestRequest::get("/"), |_sent| TestResponse::new(404));
        assert_eq!(done.response().header("x-hello"), Some("from an addon"));
    }
}
