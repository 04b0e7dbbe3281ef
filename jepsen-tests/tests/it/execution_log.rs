//! Reading the service's own log.

use flame_jepsen::execution_log::parse;
use flame_jepsen::{Execution, Nonce};

#[test]
fn a_log_is_read_in_order() {
    let executions = parse("a-1\t17\na-2\t18\n").expect("it is well formed");
    let expected = [("a-1", 17), ("a-2", 18)];
    let expected = expected.map(|(nonce, pid)| Execution { nonce: Nonce::new(nonce), pid });
    assert_eq!(executions, expected);
}

#[test]
fn a_broken_line_is_never_skipped() {
    for broken in ["a-1", "a-1\tx", "\t1", "a\t1\t1", ""] {
        let text = format!("ok\t1\n{broken}\nok\t1\n");
        assert_eq!(parse(&text).expect_err("it is broken").line, 2, "{broken:?}");
    }
}
