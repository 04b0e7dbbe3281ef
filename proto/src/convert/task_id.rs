//! The id of a task: a decimal number as text, from "1" on in each session.

use flame_types::TaskNo;

use crate::Invalid;

/// Reads the id of a task. `0` is read too; it names no task.
///
/// # Errors
/// When the text is not a decimal number that a task could have.
pub fn parse_task_id(text: &str) -> Result<TaskNo, Invalid> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Invalid::TaskId);
    }
    // Published ids are 64-bit signed: nothing above can have been given out.
    let number: i64 = text.parse().map_err(|_| Invalid::TaskId)?;
    Ok(TaskNo(number.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_decimal_numbers_are_task_ids() {
        assert_eq!(parse_task_id("1"), Ok(TaskNo(1)));
        assert_eq!(parse_task_id("9223372036854775807"), Ok(TaskNo(i64::MAX as u64)));
        for bad in ["", "x", "-1", "+1", " 1", "1.0", "9223372036854775808"] {
            assert_eq!(parse_task_id(bad), Err(Invalid::TaskId), "{bad}");
        }
        assert_eq!(Invalid::TaskId.to_string(), "invalid task id");
    }
}
