//! The judge itself, by a history that really was: what is changed in it is noticed.
//!
//! Some changes tell what could have been, and rightly go by: a token that nobody asked for any more, an answer beside
//! which an end was going on, or an end without an answer. How many of each kind are noticed is printed.

use std::collections::BTreeMap;
use std::time::Instant;

use fastrand::Rng;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::chapter;
use super::nemesis::Nemesis;
use super::record::{Event, Line, read, told};

/// Where the call was noted, that was answered here.
fn begin_of(lines: &[Line], call: usize) -> Option<usize> {
    let begins = lines.iter().enumerate().filter(|(_, line)| matches!(line.event, Event::Begins { .. }));
    begins.map(|(at, _)| at).nth(call.checked_sub(1)?)
}

/// Changes the history at this answer to one that may not be, if that can be; gives the name of the change.
fn falsify(lines: &mut Vec<Line>, at: usize, rng: &mut Rng) -> Option<&'static str> {
    // What set a token cannot be changed: others carry it.
    let Event::Answers { call, status: was, set: None, .. } = lines[at].event else { return None };
    let began = begin_of(lines, call)?;
    let Event::Begins { path, method, token, .. } = lines[began].event.clone() else { return None };
    let plain = path.split('?').next()?;
    let is_end = matches!(
        (method.as_str(), plain, was),
        ("POST", "/v1/logout", 204) | ("DELETE", "/v1/session" | "/v1/sessions", 204)
    ) && token.is_some();
    if is_end {
        return match rng.u8(..4) {
            0 => {
                lines[at].event = Event::Void { call };
                Some("an end never arrived")
            }
            1 => {
                lines.remove(at);
                Some("an end is not acknowledged")
            }
            2 => {
                advance(lines, began, at, token.as_deref())?;
                Some("an end is acknowledged before its time")
            }
            _ => answer(lines, at, 403, None, "an end is refused"),
        };
    }
    match (method.as_str(), plain, was) {
        ("GET", "/v1/session", 200) if token.is_some() => {
            answer(lines, at, 401, None, "a token that was accepted is refused")
        }
        ("GET", "/v1/session", 401) => answer(lines, at, 200, None, "a token that was refused is accepted"),
        ("POST", "/v1/permissions/check", 200) => {
            let Event::Answers { reply, .. } = &mut lines[at].event else { return None };
            for has in reply["results"].as_object_mut()?.values_mut() {
                *has = (*has != true).into();
            }
            Some("every right is turned round")
        }
        ("POST", "/v1/login", 401) => answer(lines, at, 200, Some(json!({})), "a log-in that was refused comes in"),
        ("POST", "/v1/register", 409) => answer(lines, at, 201, Some(json!({})), "a name is given twice"),
        ("GET", _, 200) if path.starts_with("/v1/users/") && rng.bool() => {
            let Event::Answers { reply, .. } = &mut lines[at].event else { return None };
            let names = reply["user_permissions"].as_array_mut()?;
            if names.pop().is_none() {
                names.push("polls.a".into());
            }
            Some("a right on record is another one")
        }
        ("GET", _, 200) if path.starts_with("/v1/users/") => answer(lines, at, 404, None, "a user is lost"),
        ("PATCH", _, 200) if path.starts_with("/v1/users/") || path.starts_with("/v1/groups/") => {
            lines[at].event = Event::Void { call };
            Some("a grant or a withdrawal never arrived")
        }
        _ => None,
    }
}

fn answer(
    lines: &mut [Line],
    at: usize,
    other: u16,
    instead: Option<Value>,
    name: &'static str,
) -> Option<&'static str> {
    let Event::Answers { status, reply, .. } = &mut lines[at].event else { return None };
    *status = other;
    if let Some(instead) = instead {
        *reply = instead;
    }
    Some(name)
}

/// Moves a call and its answer to where the token that it carries was given out. Calls are numbered by their begins.
fn advance(lines: &mut Vec<Line>, began: usize, at: usize, token: Option<&str>) -> Option<()> {
    let gives = |line: &Line| matches!(&line.event, Event::Answers { set, .. } if set.as_deref() == token);
    let given = lines[..began].iter().position(gives)?;
    let mut number = 0;
    let mut numbered: Vec<(usize, Line)> = Vec::new();
    for line in lines.drain(..) {
        let old = match &line.event {
            Event::Begins { .. } => {
                number += 1;
                number
            }
            Event::Answers { call, .. } | Event::Void { call } => *call,
            _ => 0,
        };
        numbered.push((old, line));
    }
    let answered = numbered.remove(at);
    let begun = numbered.remove(began);
    let after = given + 1;
    numbered.splice(after..after, [begun, answered]);
    let begins = numbered.iter().filter(|(_, line)| matches!(line.event, Event::Begins { .. }));
    let new: BTreeMap<usize, usize> = begins.zip(1..).map(|((old, _), new)| (*old, new)).collect();
    lines.extend(numbered.into_iter().map(|(old, mut line)| {
        if let Event::Answers { call, .. } | Event::Void { call } = &mut line.event {
            *call = new[&old];
        }
        line
    }));
    Some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_changed_in_a_history_is_noticed() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("history");
    let seed = fastrand::u64(..);
    println!("SIGNET_SEED={seed}");
    let mut honest = chapter(Nemesis::start(folder.path(), seed), seed, 2, &file).await.history;
    assert_eq!(honest.faults(), [""; 0]);
    let lines = read(&file);
    assert_eq!(told(&lines).len(), honest.len(), "the file tells all of it");
    assert_eq!(told(&lines).faults(), [""; 0]);
    let mut rng = Rng::with_seed(seed);
    let mut counts = BTreeMap::<&str, (usize, usize)>::new();
    let begun = Instant::now();
    while begun.elapsed().as_secs() < 8 && counts.values().map(|(tried, _)| tried).sum::<usize>() < 400 {
        let mut others = lines.clone();
        let Some(what) = falsify(&mut others, rng.usize(..lines.len()), &mut rng) else { continue };
        // The commonest are not all there is.
        if counts.get(what).is_some_and(|(tried, _)| *tried >= 50) {
            continue;
        }
        let (tried, noticed) = counts.entry(what).or_default();
        *tried += 1;
        *noticed += usize::from(!told(&others).faults().is_empty());
    }
    println!("changed, and noticed: {counts:?}");
    for (what, (tried, noticed)) in counts {
        // What has no answer may have happened: the rest of the history fits both. A password that was refused may be the
        // one of a change without an answer, and hardly anybody asks again for what a grant that never arrived gave.
        let is_sure = ["a token that", "every right", "a right on record", "a user is lost"];
        if what == "an end is not acknowledged" {
            assert_eq!(noticed, 0, "{what}: a word less says nothing that is false");
        } else if is_sure.iter().any(|sure| what.starts_with(sure)) {
            assert!(noticed > 0 || tried < 8, "{what}: {tried} times, and never noticed");
        }
    }
}
