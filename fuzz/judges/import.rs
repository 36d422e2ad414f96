//! The import reader: all or nothing, nothing refused without a line, nothing half written.

use std::path::Path;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use signet::audit::Client;
use signet::import::django::{Dump, Reading};
use signet::import::judge::Judge;
use signet::import::record::Item;
use signet::import::report::{Report, Told};
use signet::import::signet::Backup;
use signet::import::source::Source;
use signet::import::{self, Existing, Fate, Part, RECORDS_MAX};

use super::world::{self, World};

/// Judges one file.
pub(crate) fn judge(input: &[u8]) {
    judge_file(input);
    if let Some(sealed) = sealed(input) {
        judge_file(&sealed);
    }
}

fn judge_file(input: &[u8]) {
    world::with(|world| {
        let file = world.folder.path().join("input");
        std::fs::write(&file, input).unwrap();
        if let Ok(backup) = Backup::open(&file) {
            assert_eq!(whole(input), Some(backup.records), "an export that is not whole was taken");
            is_read(world, Source::Signet(Box::new(backup)), &file, input);
        }
        if let Ok(dump) = Dump::open(&file, Reading::default()) {
            is_read(world, Source::Django(Box::new(dump)), &file, input);
        }
    });
}

fn is_read(world: &World, mut source: Source, file: &Path, input: &[u8]) {
    let items = match read(&mut source) {
        Ok(items) => items,
        // What the first pass took, the second may refuse: then nothing was written.
        Err(why) => return assert!(!why.is_empty()),
    };
    assert_eq!(items.len() as u64, source.records(), "as many records as were announced");
    let again = read(&mut source).unwrap();
    assert_eq!(format!("{items:?}"), format!("{again:?}"), "another reading gives the same");
    for (existing, skip) in [(Existing::Keep, false), (Existing::Keep, true), (Existing::Replace, true)] {
        is_judged(world, &items, existing);
        is_written_whole_or_not_at_all(world, &items, existing, skip);
    }
    std::fs::write(file, [input, b" "].concat()).unwrap();
    assert!(read(&mut source).is_err(), "a file that changed in between was taken");
}

fn read(source: &mut Source) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let done = source.read(&mut |item| {
        items.push(item);
        Ok(())
    });
    done.map(|()| items).map_err(|why| why.to_string())
}

/// Each record has its outcome, and what is lost stands in the report.
fn is_judged(world: &World, items: &[Item], existing: Existing) {
    let records: Vec<_> = items.iter().filter_map(|item| item.record.clone()).collect();
    let mut judge = Judge::new(&world.app, existing);
    let batch = world.runtime.block_on(judge.judge(records.clone())).unwrap();
    assert_eq!(batch.outcomes.len(), records.len());
    let mut outcomes = batch.outcomes.into_iter();
    let mut report = Report::default();
    for item in items {
        let told = match &item.record {
            Some(_) => Told::from(outcomes.next().unwrap()),
            None => Told::nothing(),
        };
        let before = (report.lines.len(), report.lost());
        report.add(item, &told);
        if told.fate == Fate::Refused {
            assert!(report.lost() > before.1, "refused without a reason: {item:?}");
            let lines = &report.lines[before.0..];
            assert!(lines.iter().all(|line| line.left_out && line.record == item.locator), "{lines:?}");
            assert!(lines.iter().all(|line| !line.code.is_empty() && !line.message.is_empty()), "{lines:?}");
        }
    }
    for count in [&report.permissions, &report.groups, &report.users] {
        assert_eq!(count.read, count.created + count.changed + count.kept + count.refused);
    }
    serde_json::from_str::<Value>(&report.json()).unwrap();
    assert!(report.text().contains("users"));
}

fn is_written_whole_or_not_at_all(world: &World, items: &[Item], existing: Existing, skip: bool) {
    let records: Vec<_> = items.iter().filter_map(|item| item.record.clone()).take(RECORDS_MAX).collect();
    let part = Part { records, apply: true, skip, existing, ..Part::default() };
    let before = exported(world);
    let take = |part| world.runtime.block_on(import::take(&world.app, &world.admin, part, &Client::default()));
    match take(part.clone()) {
        Err(_) => assert_eq!(exported(world), before, "something was written although it was refused"),
        Ok(outcomes) => {
            let changes = |fate: Fate| matches!(fate, Fate::Created | Fate::Changed);
            let any = outcomes.iter().any(|outcome| changes(outcome.fate));
            assert_eq!(exported(world) != before, any, "{outcomes:?}");
            // What was carried is there, and is not carried twice.
            let again = take(Part { existing: Existing::Keep, skip: true, ..part }).unwrap();
            assert!(again.iter().all(|outcome| !changes(outcome.fate)), "{again:?} after {outcomes:?}");
        }
    }
}

/// Everything that is kept, but for the line with the time.
fn exported(world: &World) -> String {
    let mut text = Vec::new();
    let app = &world.app;
    world.runtime.block_on(signet::export::export(app.store(), app.now(), &mut text)).unwrap();
    let text = String::from_utf8(text).unwrap();
    text.split_once('\n').unwrap().1.to_owned()
}

/// The export with a last line that agrees with what stands before it, so that changes reach what is behind the checksum.
fn sealed(input: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(input).ok().filter(|text| text.starts_with("{\"signet_export\""))?;
    let mut lines: Vec<&str> = text.lines().collect();
    lines.pop();
    let (begin, records) = lines.split_first()?;
    let (mut sealed, mut hash) = (format!("{begin}\n"), Sha256::new());
    for record in records {
        let line = format!("{}\n", serde_json::from_str::<Value>(record).ok()?);
        hash.update(&line);
        sealed += &line;
    }
    let sum: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let end = serde_json::json!({ "end": { "records": records.len(), "sha256": sum } });
    Some(format!("{sealed}{end}\n").into_bytes())
}

/// How many records an export has whose last line agrees with what stands before it.
fn whole(input: &[u8]) -> Option<u64> {
    let input = input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input);
    let values: Vec<Value> = if let Ok(Value::Array(values)) = serde_json::from_slice(input) {
        values
    } else {
        let lines = input.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        lines.map(|line| serde_json::from_slice(line).ok()).collect::<Option<_>>()?
    };
    let [first, records @ .., last] = values.as_slice() else { return None };
    let mut hash = Sha256::new();
    for record in records {
        hash.update(format!("{record}\n"));
    }
    let sum: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let agrees = last["end"]["records"] == records.len() && last["end"]["sha256"] == sum.as_str();
    (first["signet_export"] == 1 && agrees).then_some(records.len() as u64)
}
