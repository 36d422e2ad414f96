//! The judge itself, by a history that really was: what is changed in it is noticed.

use fastrand::Rng;
use tempfile::TempDir;

use super::chapter;
use super::record::{Event, read, told};

/// Changes one answer to something that may not be, if it is one that can be changed so; the name of the change.
fn falsify(events: &mut [Event], at: usize) -> Option<&'static str> {
    // What set a token cannot be changed: others carry it.
    let Event::Answers { call, status, set: None, .. } = &events[at] else { return None };
    let (call, was) = (*call, *status);
    let begins = events.iter().filter(|event| matches!(event, Event::Begins { .. })).nth(call - 1)?;
    let Event::Begins { path, method, token, .. } = begins.clone() else { return None };
    let Event::Answers { status, reply, .. } = &mut events[at] else { return None };
    let plain = path.split('?').next()?;
    match (method.as_str(), plain, was) {
        ("GET", "/v1/session", 200) if token.is_some() => {
            *status = 401;
            Some("a token that was accepted is refused")
        }
        ("GET", "/v1/session", 401) => {
            *status = 200;
            Some("a token that was refused is accepted")
        }
        ("POST", "/v1/permissions/check", 200) => {
            let results = reply["results"].as_object_mut()?;
            for has in results.values_mut() {
                *has = (*has != true).into();
            }
            Some("every right is turned round")
        }
        ("POST", "/v1/logout", 204) if token.is_some() => {
            *status = 403;
            Some("an end is taken back")
        }
        ("GET", _, 200) if path.starts_with("/v1/users/") => {
            *status = 404;
            Some("a user is lost")
        }
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_changed_in_a_history_is_noticed() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("history");
    let seed = fastrand::u64(..);
    println!("SIGNET_SEED={seed}");
    let mut honest = chapter(seed, 2, &file).await.history;
    assert_eq!(honest.faults(), [""; 0]);
    let events = read(&file);
    assert_eq!(told(&events).len(), honest.len(), "the file tells all of it");
    assert_eq!(told(&events).faults(), [""; 0]);
    let mut rng = Rng::with_seed(seed);
    let mut counts = std::collections::BTreeMap::<&str, (usize, usize)>::new();
    let begun = std::time::Instant::now();
    while begun.elapsed().as_secs() < 8 && counts.values().map(|(tried, _)| tried).sum::<usize>() < 200 {
        let mut false_events = events.clone();
        let Some(what) = falsify(&mut false_events, rng.usize(..events.len())) else { continue };
        let (tried, noticed) = counts.entry(what).or_default();
        *tried += 1;
        *noticed += usize::from(!told(&false_events).faults().is_empty());
    }
    println!("changed, and noticed: {counts:?}");
    for (what, (tried, noticed)) in counts {
        // What goes on at the same time may come out either way, and some of it is not looked at again.
        assert!(noticed > 0 || tried < 8, "{what}: {tried} times, and never noticed");
    }
}
