//! One operation of the document, and what its path tells about it.

use serde_json::{Map, Value};

/// One operation of the document.
pub(super) struct Operation<'a> {
    pub(super) path: &'a str,
    /// In lower case.
    pub(super) method: &'a str,
    pub(super) id: &'a str,
    pub(super) tag: &'a str,
    pub(super) value: &'a Map<String, Value>,
}

/// All operations, in the document's order.
pub(super) fn all(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let each = paths.flat_map(|(path, methods)| {
        methods.as_object().into_iter().flatten().filter_map(move |(method, value)| {
            let id = value["operationId"].as_str()?;
            let tag = value["tags"][0].as_str()?;
            Some(Operation { path, method, id, tag, value: value.as_object()? })
        })
    });
    each.collect()
}

/// The operation of this id.
pub(super) fn find<'a>(operations: &'a [Operation<'a>], id: &str) -> Option<&'a Operation<'a>> {
    operations.iter().find(|operation| operation.id == id)
}

/// How a caller may show who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// Nobody is asked.
    Open,
    /// A session is looked at if there is one.
    Either,
    /// A session is needed.
    Session,
    /// Something that this collection does not have is needed.
    Closed,
}

impl Operation<'_> {
    pub(super) fn text(&self, member: &str) -> &str {
        self.value.get(member).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn parameters(&self, kind: &str) -> impl Iterator<Item = &Value> {
        let all = self.value.get("parameters").and_then(Value::as_array).into_iter().flatten();
        all.filter(move |parameter| parameter["in"] == kind)
    }

    pub(super) fn response(&self, status: &str) -> Option<&Value> {
        self.value.get("responses")?.get(status)
    }

    /// The statuses of success with what they answer.
    pub(super) fn successes(&self) -> impl Iterator<Item = (&str, &Value)> {
        let responses = self.value.get("responses").and_then(Value::as_object).into_iter().flatten();
        responses.filter(|(status, _)| status.starts_with('2')).map(|(status, response)| (status.as_str(), response))
    }

    pub(super) fn door(&self) -> Door {
        let ways: Vec<&Map<String, Value>> = self
            .value
            .get("security")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_object)
            .collect();
        let session = ways.iter().any(|way| way.len() == 1 && way.contains_key("sessionCookie"));
        let nothing = ways.is_empty() || ways.iter().any(|way| way.is_empty());
        match (session, nothing) {
            (true, true) => Door::Either,
            (true, false) => Door::Session,
            (false, true) => Door::Open,
            (false, false) => Door::Closed,
        }
    }

    /// Whether the answer has no end.
    pub(super) fn streams(&self) -> bool {
        self.successes().any(|(_, response)| response["content"].get("text/event-stream").is_some())
    }

    /// The name of the variable for a parameter of the path: `userId` for the `id` in `/v1/users/{id}/sessions`.
    pub(super) fn variable(&self, parameter: &str) -> String {
        let before = self.path.split(&format!("/{{{parameter}}}")).next().unwrap_or_default();
        let thing = before.rsplit('/').next().unwrap_or_default();
        let mut name = thing.strip_suffix('s').unwrap_or(thing).to_owned();
        let mut letters = parameter.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.extend(letters);
        name
    }

    /// The parameter that names one thing of this collection of things: `id` for `/v1/users`, since there is
    /// `/v1/users/{id}`.
    pub(super) fn item_parameter<'a>(&self, all: &'a [Operation<'_>]) -> Option<(&'a Operation<'a>, &'a str)> {
        all.iter().find_map(|other| {
            let name = other.path.strip_prefix(self.path)?.strip_prefix("/{")?.strip_suffix('}')?;
            (!name.contains('/')).then_some((other, name))
        })
    }

    /// Whether it makes a thing that others of its path read: `POST` to the collection, or `PUT` to the thing itself.
    pub(super) fn makes(&self, all: &[Operation<'_>]) -> bool {
        match self.method {
            "post" => self.item_parameter(all).is_some(),
            "put" => self.path.ends_with('}'),
            _ => false,
        }
    }
}
