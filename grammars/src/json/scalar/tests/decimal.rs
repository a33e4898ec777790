use proptest::prelude::*;

use super::*;

#[test]
fn equal_values_are_equal_however_they_are_spelled() {
    for (a, b) in
        [("1", "1.0"), ("1", "1e0"), ("100", "1E+2"), ("-0", "0.00e5"), ("0.010", "1e-2"), ("12e-1", "1.2")]
    {
        assert_eq!(decimal(a), decimal(b));
    }
    assert_ne!(decimal("1"), decimal("-1"));
}

#[test]
fn only_numbers_of_json_are_numbers() {
    for text in
        ["", "-", "01", "1.", ".5", "+1", "1e", "1e+", "0x1", "1 ", "--1", "NaN", "1e99999999999", "1e+-5"]
    {
        assert_eq!(Decimal::parse(text), None, "{text:?}");
    }
    assert!(Decimal::parse(&"9".repeat(1001)).is_none(), "too many digits to calculate with");
}

#[test]
fn order_is_that_of_values() {
    let ascending = [
        "-1e300", "-10", "-9.5", "-9.25", "-1e-300", "0", "1e-5", "0.25", "0.3", "2", "10", "10.5", "1e2",
        "1e300",
    ];
    for (index, a) in ascending.iter().enumerate() {
        for (other, b) in ascending.iter().enumerate() {
            assert_eq!(decimal(a).cmp(&decimal(b)), index.cmp(&other), "{a} {b}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn integers_calculate_like_integers(a in -1_000_000_000_000_i128..1_000_000_000_000, b in 1_i128..100_000, zeros in 0_u32..8) {
        let (a, b) = (a * 10_i128.pow(zeros), b);
        let (x, y) = (decimal(&a.to_string()), decimal(&b.to_string()));
        prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        prop_assert_eq!(x.is_multiple_of(&y), a % b == 0);
        let tenths = decimal(&format!("{b}e-2"));
        prop_assert_eq!(x.is_multiple_of(&tenths), a * 100 % b == 0);
        prop_assert_eq!(decimal(&x.plain()), x.clone());
        prop_assert_eq!(decimal(&x.scientific()), x);
    }

    #[test]
    fn rounding_narrows_in_the_direction_that_is_asked_for(digits in "[1-9][0-9]{0,20}", exponent in -5..5, negative: bool, up: bool) {
        let value = decimal(&format!("{}{digits}e{exponent}", if negative { "-" } else { "" }));
        let rounded = value.rounded(5, up).unwrap();
        prop_assert!(rounded.significant() <= 5);
        let narrows = if up { rounded >= value } else { rounded <= value };
        prop_assert!(narrows);
        let float = value.nearest();
        prop_assert!((rounded.nearest() - float).abs() <= float.abs() * 1e-3);
    }
}
