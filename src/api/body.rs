//! Bodies: JSON in, judged by the very schema that the API document shows.
//!
//! When a body has arrived, the caller is looked at again: guards are passed before it is read.
//!
//! Owns the reading of a body: its media type, its size, its depth, one member of a name once, and the schema.
//! The framework's own reading echoes input in its errors, takes numbers for strings, and has no limit.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use poem::http::header;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseFromJSON, Type};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::api::problem::{Code, Problem};
use crate::api::visit::Visit;
use crate::claims::Data;
use crate::error::Fault;

/// Largest body that is read unless an operation says otherwise, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a body may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// Most faults that one answer tells.
const FAULTS_MAX: usize = 20;

/// Deepest nesting of a body.
const DEPTH_MAX: usize = 64;

/// A body in JSON of the shape `T`, of at most `MAX` bytes.
pub struct Body<T, const MAX: usize = BODY_BYTES_MAX>(pub T);

impl<'a, T: ParseFromJSON + 'static, const MAX: usize> ApiExtractor<'a> for Body<T, MAX> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType { content_type: "application/json", schema: T::schema_ref() }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let bytes = read(request, body, MAX).await?;
        if let Some(visit) = request.extensions().get::<Visit>() {
            visit.look_again(request).await.map_err(Problem::from)?;
        }
        let value = parse(&bytes)?;
        let shape = shape_of::<T>();
        let mut faults = Vec::new();
        shape.judge(&shape.root, &value, "", &mut faults);
        if !faults.is_empty() {
            faults.truncate(FAULTS_MAX);
            return Err(Problem::invalid(faults).into());
        }
        let odd = |_| {
            Problem::invalid(vec![Fault::new(
                "",
                "invalid",
                "the body is not of the shape that the API document gives",
            )])
        };
        Ok(Self(T::parse_from_json(Some(value)).map_err(odd)?))
    }
}

async fn read(request: &Request, body: &mut RequestBody, max: usize) -> Result<Bytes, Problem> {
    let headers = request.headers();
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let is_json = types.next().is_some_and(|kind| is_json(kind.as_bytes()));
    if !is_json || types.next().is_some() || headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(Code::UnsupportedMediaType));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > max) {
        return Err(Problem::new(Code::BodyTooLarge));
    }
    let body = body.take().map_err(|_| Problem::new(Code::Internal))?;
    match tokio::time::timeout(BODY_TIME_MAX, body.into_bytes_limit(max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(poem::error::ReadBodyError::PayloadTooLarge)) => Err(Problem::new(Code::BodyTooLarge)),
        Ok(Err(_)) => Err(Problem::new(Code::MalformedBody)),
        Err(_) => Err(Problem::new(Code::RequestTimeout)),
    }
}

/// Exactly `application/json`, alone or in UTF-8: what a form or a simple cross-site request cannot send.
fn is_json(media_type: &[u8]) -> bool {
    let text = media_type.to_ascii_lowercase();
    let mut parts = text.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    parts.next() == Some(b"application/json") && parts.all(|p| p == b"charset=utf-8" || p == b"charset=\"utf-8\"")
}

/// A JSON text, each member once.
fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    let malformed = |_| Problem::new(Code::MalformedBody);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict(DEPTH_MAX).deserialize(&mut reader).map_err(malformed)?;
    reader.end().map_err(malformed)?;
    Ok(value)
}

/// Reads a value of at most so many levels, and refuses a member that comes twice.
struct Strict(usize);

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let deeper = self.0.checked_sub(1).ok_or_else(too_deep)?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Strict(deeper))? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let deeper = self.0.checked_sub(1).ok_or_else(too_deep)?;
        let mut object = Data::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Strict(deeper))?;
            if object.insert(name, value).is_some() {
                return Err(serde::de::Error::custom("a member comes twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

fn too_deep<E: serde::de::Error>() -> E {
    E::custom("nested too deep")
}

/// The schema of a body, with all that it refers to.
struct Shape {
    root: MetaSchemaRef,
    registry: Registry,
}

/// The shape of `T`, made once.
fn shape_of<T: Type + 'static>() -> Arc<Shape> {
    static SHAPES: LazyLock<RwLock<HashMap<TypeId, Arc<Shape>>>> = LazyLock::new(RwLock::default);
    let known = SHAPES.read().unwrap_or_else(PoisonError::into_inner).get(&TypeId::of::<T>()).cloned();
    known.unwrap_or_else(|| {
        let mut registry = Registry::new();
        T::register(&mut registry);
        let shape = Arc::new(Shape { root: T::schema_ref(), registry });
        let mut shapes = SHAPES.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(shapes.entry(TypeId::of::<T>()).or_insert(shape))
    })
}

impl Shape {
    /// Collects what is wrong with `value`, at `path`. Never quotes it.
    fn judge(&self, schema: &MetaSchemaRef, value: &Value, path: &str, faults: &mut Vec<Fault>) {
        let schema = match schema {
            MetaSchemaRef::Inline(schema) => schema.as_ref(),
            MetaSchemaRef::Reference(name) => match self.registry.schemas.get(name) {
                Some(schema) => schema,
                None => return,
            },
        };
        for part in &schema.all_of {
            self.judge(part, value, path, faults);
        }
        if value.is_null() && schema.nullable {
            return;
        }
        let mut wrong = |code, message: String| faults.push(Fault::new(path, code, message));
        match (schema.ty, value) {
            ("", _) | ("boolean", Value::Bool(_)) => {}
            ("string", Value::String(text)) => judge_string(schema, text, &mut wrong),
            ("integer", Value::Number(number)) if number.is_i64() || number.is_u64() => {
                let ceiling = if schema.format == Some("uint32") { u64::from(u32::MAX) } else { u64::MAX };
                if number.as_u64().is_none_or(|n| n > ceiling) {
                    wrong("out_of_range", format!("must be a whole number from 0 to {ceiling}"));
                }
            }
            ("array", Value::Array(items)) => {
                if schema.max_items.is_some_and(|max| items.len() > max) {
                    wrong("too_many", format!("must have at most {} items", schema.max_items.unwrap_or_default()));
                    return;
                }
                for (at, item) in items.iter().enumerate() {
                    if let Some(schema) = &schema.items {
                        self.judge(schema, item, &below(path, &at.to_string()), faults);
                    }
                }
            }
            ("object", Value::Object(members)) => self.judge_object(schema, members, path, faults),
            (kind, _) => {
                let article = if kind.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
                wrong("wrong_type", format!("must be {article} {kind}"));
            }
        }
    }

    fn judge_object(&self, schema: &MetaSchema, members: &Data, path: &str, faults: &mut Vec<Fault>) {
        for name in &schema.required {
            if !members.contains_key(*name) {
                faults.push(Fault::new(&below(path, name), "missing", "this member is needed"));
            }
        }
        for (name, value) in members {
            if let Some((known, schema)) = schema.properties.iter().find(|(known, _)| known == name) {
                self.judge(schema, value, &below(path, known), faults);
            } else if schema.additional_properties.is_none() && faults.len() < FAULTS_MAX {
                let names: Vec<_> = schema.properties.iter().map(|(name, _)| *name).collect();
                let message = format!("holds a member that is not known; known are: {}", names.join(", "));
                faults.push(Fault::new(path, "unknown_member", message));
            }
        }
    }
}

fn judge_string(schema: &MetaSchema, text: &str, wrong: &mut impl FnMut(&'static str, String)) {
    let length = text.chars().count();
    if let Some(max) = schema.max_length.filter(|max| length > *max) {
        wrong("too_long", format!("must have at most {max} characters"));
    }
    if let Some(min) = schema.min_length.filter(|min| length < *min) {
        wrong("too_short", format!("must have at least {min} characters"));
    }
    if schema.format == Some("date-time") && DateTime::parse_from_rfc3339(text).is_err() {
        wrong("not_a_time", "must be a time as in 2030-01-31T12:00:00Z (RFC 3339)".to_owned());
    }
    if !schema.enum_items.is_empty() && !schema.enum_items.iter().any(|item| item == text) {
        let names: Vec<_> = schema.enum_items.iter().filter_map(Value::as_str).collect();
        wrong("not_one_of", format!("must be one of: {}", names.join(", ")));
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::{is_json, parse};

    #[test]
    fn only_json_counts_as_json() {
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=UTF-8",
        ] {
            assert!(is_json(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/problem+json",
            "application/jsonp",
            "application/json; x=",
            "text/plain; application/json",
        ] {
            assert!(!is_json(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn a_member_that_comes_twice_is_refused_at_every_depth() {
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"{"x":{"a":1,"\u0061":2}}"#,
            r#"[{"a":1,"a":1}]"#,
            "{} {}",
            "",
            "\u{feff}{}",
            "[1,]",
            "1e400",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse(br#"{"a":{"a":[1,-2,2.5,"x",null,true]}}"#).is_ok());
        let nested = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(nested(64).as_bytes()).is_ok());
        assert!(parse(nested(65).as_bytes()).is_err());
        assert!(parse(nested(60_000).as_bytes()).is_err());
    }
}
