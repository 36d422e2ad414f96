//! Answers given again: who asks the same with the same token is answered the same, without going through the routes.
//!
//! Owns the answers that are kept beside a token, and what has to hold before one is given again: the token is in force
//! as it was sent, groups grant what they granted, and the request could have been answered at all. `front.rs` asks here
//! first; an operation says with [`Visit::repeats`](crate::api::visit::Visit::repeats) that its answer may be kept. What
//! it saves: some 14,000 instructions of 20,000 of `GET /v1/session`.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use bytes::Bytes;
use poem::http::uri::PathAndQuery;
use poem::http::{HeaderMap, Method, StatusCode, Uri};
use poem::{IntoResponse as _, Request, Response};

use crate::api::cookie;
use crate::api::origin::{Origins, original_method};
use crate::api::problem::{Code, Problem};
use crate::api::visit::{Operation, Repeats};
use crate::app::App;
use crate::rights::GroupTable;
use crate::session::{self, Session};
use crate::token::BESIDE_BYTES;

/// Answers that are kept beside one token, each to another question.
const KEPT_MAX: usize = 2;

/// Bytes of an answer that is kept: its share of what is reckoned for a token, where the memory of all of them is
/// bounded. What it says of the token itself is in proportion to it.
const ANSWER_MAX: usize = BESIDE_BYTES / KEPT_MAX;

/// Bytes of an answer beside its texts: mostly the table of its headers.
const ANSWER_FIXED: usize = 1536;

/// The answers beside one token.
type Kept = ArcSwap<Vec<Arc<Answer>>>;

/// An answer as it left the front.
struct Answer {
    operation: Operation,
    when: Repeats,
    /// Path and query.
    question: Box<str>,
    /// What groups granted. Another table has another address for as long as this is held.
    groups: Weak<GroupTable>,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// The answer that was given to the same question with the same token before, when it is right to give it again.
pub(crate) fn find(app: &App, origins: &Origins, request: &Request) -> Option<(Operation, Response)> {
    if request.method() != Method::GET {
        return None;
    }
    let token = cookie::find(request.headers(), cookie::SESSION).ok()??;
    let verified = session::in_force(app, token)?;
    let kept: &Kept = verified.beside.get()?.downcast_ref()?;
    let (kept, question) = (kept.load(), request.uri().path_and_query()?.as_str());
    let answer = kept.iter().find(|answer| *answer.question == *question)?;
    let may_pass =
        answer.when == Repeats::Always || origins.allow(&original_method(request.headers()), request.headers());
    if !may_pass || !std::ptr::eq(answer.groups.as_ptr(), Arc::as_ptr(&app.groups())) {
        return None;
    }
    let mut response = Response::default();
    response.set_status(answer.status);
    response.headers_mut().clone_from(&answer.headers);
    response.set_body(answer.body.clone());
    Some((answer.operation, response))
}

/// Keeps an answer beside the token that it was given for, unless it is large.
pub(crate) async fn keep(
    session: &Session,
    (operation, when): (Operation, Repeats),
    uri: &Uri,
    mut response: Response,
) -> Response {
    let status = response.status();
    let body = match response.take_body().into_bytes().await {
        Ok(body) => body,
        Err(why) => return Problem::new(Code::Internal).because(why.to_string()).into_response(),
    };
    let question = uri.path_and_query().map_or("", PathAndQuery::as_str);
    let fields: usize = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let token = session.token().map_or(0, str::len);
    if ANSWER_FIXED + question.len() + fields + body.len() <= ANSWER_MAX + token {
        let answer = Answer {
            operation,
            when,
            question: question.into(),
            groups: Arc::downgrade(session.group_table()),
            status,
            headers: response.headers().clone(),
            body: body.clone(),
        };
        add(session, &Arc::new(answer));
    }
    response.set_body(body);
    response
}

fn add(session: &Session, answer: &Arc<Answer>) {
    let Some(beside) = session.beside() else { return };
    let kept = beside.get_or_init(|| Box::new(Kept::default()));
    let Some(kept) = kept.downcast_ref::<Kept>() else { return };
    kept.rcu(|kept| with(kept, answer));
}

/// The newest one first, and as many of those before as there is room for.
fn with(kept: &[Arc<Answer>], answer: &Arc<Answer>) -> Vec<Arc<Answer>> {
    let others = kept.iter().filter(|other| other.question != answer.question).take(KEPT_MAX - 1);
    std::iter::once(answer).chain(others).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_questions_are_those_whose_answers_are_kept() {
        let answer = |question: &str| {
            Arc::new(Answer {
                operation: Operation::METRICS,
                when: Repeats::Always,
                question: question.into(),
                groups: Weak::new(),
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                body: Bytes::new(),
            })
        };
        let mut kept = Vec::new();
        // Two that take turns after a third one do not push each other out.
        for (question, expected) in [("c", "c"), ("a", "ac"), ("b", "ba"), ("a", "ab"), ("b", "ba"), ("c", "cb")] {
            kept = with(&kept, &answer(question));
            assert_eq!(kept.iter().map(|answer| &*answer.question).collect::<String>(), expected);
        }
    }
}
