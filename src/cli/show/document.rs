//! `--json`: one document on stdout, whatever the verb does and however it ends.
//!
//! ```text
//!  --json                    the answer, whole
//!  --json=job,image          these fields of it, in this order; with dots below objects: pin.manifest
//!  an error, and no answer   {"error": {"kind", "exit_code", "message", "causes", "hint"}, "others": [..]}
//!  nothing to tell           {"exit_code": 0}
//! ```
//!
//! In a list the fields are those of each element. A field that does not exist is `null`, and a warning says so,
//! because the work is already done. Errors that a verb met before it answered go to stderr, as without `--json`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{fault, output};

static CHOSEN: OnceLock<Vec<String>> = OnceLock::new();
static PRINTED: AtomicBool = AtomicBool::new(false);

/// Which fields of the answer are printed; all when there are none.
pub fn choose(fields: &[String]) {
    // one command line, one choice
    let _ = CHOSEN.set(fields.to_vec());
}

/// The answer. Each verb prints one.
pub fn print(value: &impl Serialize) {
    match serde_json::to_value(value) {
        Ok(value) => {
            PRINTED.store(true, Ordering::Relaxed);
            let fields = CHOSEN.get().map(Vec::as_slice).unwrap_or_default();
            let (value, absent) = chosen(value, fields);
            if !absent.is_empty() {
                output::warn(format!("the answer has no field {}", absent.join(", ")));
            }
            output::json(&value);
        }
        // only a type whose keys are no strings could do this; none of ours is
        Err(error) => output::warn(format!("cannot write JSON: {error}")),
    }
}

/// Completes stdout at the program's end: a verb that gave no answer has failed, or had nothing to tell.
pub fn finish(exit_code: u8) {
    if PRINTED.swap(true, Ordering::Relaxed) {
        return;
    }
    let mut errors = fault::told_errors();
    let decides = |error: &Value| error["exit_code"] == exit_code;
    let at = errors.iter().position(decides).or((!errors.is_empty()).then_some(0));
    output::json(&match at.map(|at| errors.remove(at)) {
        Some(error) if errors.is_empty() => json!({ "error": error }),
        Some(error) => json!({ "error": error, "others": errors }),
        None => json!({ "exit_code": exit_code }),
    });
}

/// The chosen fields, and those that are nowhere.
fn chosen(value: Value, fields: &[String]) -> (Value, Vec<String>) {
    if fields.is_empty() {
        return (value, Vec::new());
    }
    let of = |value: &Value| {
        let pick =
            |field: &String| (field.clone(), find(value, field).cloned().unwrap_or_default());
        Value::Object(fields.iter().map(pick).collect::<Map<String, Value>>())
    };
    let elements = match &value {
        Value::Array(elements) => elements.as_slice(),
        one => std::slice::from_ref(one),
    };
    let is_absent = |field: &&String| {
        !elements.is_empty() && elements.iter().all(|element| find(element, field).is_none())
    };
    let absent = fields.iter().filter(is_absent).cloned().collect();
    let picked = match &value {
        Value::Array(elements) => Value::Array(elements.iter().map(of).collect()),
        one => of(one),
    };
    (picked, absent)
}

/// `pin.manifest`: below objects.
fn find<'v>(value: &'v Value, field: &str) -> Option<&'v Value> {
    field.split('.').try_fold(value, |value, name| value.get(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_chosen_in_order_also_of_lists_and_below_objects() {
        let fields = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let value = json!([{"a": 1, "b": {"c": 2}}, {"a": 3}]);
        let (picked, absent) = chosen(value.clone(), &fields("b.c,a,x"));
        assert_eq!(
            picked,
            json!([{"b.c": 2, "a": 1, "x": null}, {"b.c": null, "a": 3, "x": null}])
        );
        assert_eq!(absent, ["x"]);
        assert_eq!(chosen(value.clone(), &[]).0, value);
        assert_eq!(chosen(json!([]), &fields("a")), (json!([]), vec![]));
    }
}
