use proptest::prelude::*;

use super::*;
use crate::json::scalar::{NumberTest, ScalarError, number_automaton, number_matches};

fn condition(test: &NumberTest) -> Value {
    let value = |of: &Decimal| serde_json::from_str::<Value>(&of.to_string()).expect("a number");
    match test {
        NumberTest::Integer => json!({ "type": "integer" }),
        NumberTest::IntegerLiteral => unreachable!("draft 4's, which this oracle is not asked for"),
        NumberTest::Minimum(bound) => json!({ "minimum": value(bound) }),
        NumberTest::ExclusiveMinimum(bound) => json!({ "exclusiveMinimum": value(bound) }),
        NumberTest::Maximum(bound) => json!({ "maximum": value(bound) }),
        NumberTest::ExclusiveMaximum(bound) => json!({ "exclusiveMaximum": value(bound) }),
        NumberTest::MultipleOf(divisor) => json!({ "multipleOf": value(divisor) }),
        NumberTest::Equals(value_of) => json!({ "const": value(value_of) }),
    }
}

fn automaton(logic: &Logic<NumberTest>) -> Option<Automaton> {
    number_automaton(logic, &[true; 256], &budget()).expect("an automaton")
}

/// Bounds of many sizes, so that some are next to each other and some are no floats.
fn bound() -> impl Strategy<Value = Decimal> {
    prop_oneof![
        4 => (-300_i64..300).prop_map(|n| n.to_string()),
        4 => (-3000_i64..3000, 1..4_u32).prop_map(|(n, places)| format!("{n}e-{places}")),
        2 => "-?[1-9][0-9]{0,17}",
        1 => "-?[1-9][0-9]{14,21}",
        1 => "-?0\\.[0-9]{1,20}",
        1 => "-?[1-9][0-9]{0,17}\\.[0-9]{1,6}",
        1 => prop::sample::select(vec![
            "9007199254740993", "-9007199254740993", "9223372036854775807", "-9223372036854775808",
            "9223372036854775808", "18446744073709551615", "18446744073709551616", "1e25", "-1e25", "1e300", "0.1",
        ]).prop_map(String::from),
    ]
    .prop_map(|text| decimal(&text))
}

fn divisor() -> impl Strategy<Value = Decimal> {
    let divisors = [
        "1", "2", "3", "5", "7", "10", "60", "1000", "1e6", "0.01", "0.25", "0.5", "1.5", "0.07", "2.5",
        "1e-9", "123",
    ];
    prop::sample::select(divisors.to_vec()).prop_map(decimal)
}

fn test() -> impl Strategy<Value = NumberTest> {
    prop_oneof![
        2 => Just(NumberTest::Integer),
        2 => bound().prop_map(NumberTest::Minimum),
        2 => bound().prop_map(NumberTest::Maximum),
        1 => bound().prop_map(NumberTest::ExclusiveMinimum),
        1 => bound().prop_map(NumberTest::ExclusiveMaximum),
        1 => divisor().prop_map(NumberTest::MultipleOf),
        1 => bound().prop_map(NumberTest::Equals),
    ]
}

fn logic() -> impl Strategy<Value = Logic<NumberTest>> {
    let leaf = test().prop_map(Logic::Is);
    leaf.prop_recursive(3, 8, 4, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..4).prop_map(Logic::All),
            1 => prop::collection::vec(inner.clone(), 1..4).prop_map(Logic::Any),
            1 => inner.prop_map(|part| Logic::Not(Box::new(part))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_accepted_is_valid(logic in logic(), walks in prop::collection::vec(prop::collection::vec(any::<u16>(), 0..28), 12)) {
        let schema = schema(&logic, &condition);
        let Ok(Some(automaton)) = number_automaton(&logic, &[true; 256], &budget()) else { return Ok(()) };
        let oracle = oracle(&schema);
        for choices in walks {
            let text = walk(&automaton, &choices);
            let value: Value = serde_json::from_str(&text).expect("JSON");
            prop_assert!(oracle.is_valid(&value), "{text} under {schema}");
            prop_assert!(number_matches(&logic, &decimal(&text)), "{text} under {schema}");
        }
    }

    #[test]
    fn what_is_valid_is_accepted(
        tests in prop::collection::vec(test(), 1..4),
        number in prop_oneof!["-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?", "-?[1-9][0-9]{0,14}", "-?[1-9][0-9]{0,2}0{3,6}"],
    ) {
        prop_assume!(!number.starts_with('-') || !decimal(&number).is_zero());
        // A few digits, of which every reading is the same: then the rules promise all of them.
        prop_assume!(tests.iter().all(|test| condition(test).to_string().len() < 34));
        let logic = Logic::All(tests.into_iter().map(Logic::Is).collect());
        let exact = number_matches(&logic, &decimal(&number));
        let accepted = match number_automaton(&logic, &[true; 256], &budget()) {
            Ok(automaton) => automaton.is_some_and(|automaton| accepts(&automaton, &number)),
            // Several divisors may be too many remainders.
            Err(error) => return Err(TestCaseError::reject(error.to_string())),
        };
        prop_assert_eq!(accepted, exact, "{} under {}", number, schema(&logic, &condition));
    }

    #[test]
    fn any_number_of_few_digits_is_a_number(number: f64, small in -1e9..1e9, whole: i64) {
        let automaton = automaton(&Logic::All(vec![])).unwrap();
        for text in [serde_json::to_string(&small).unwrap(), whole.to_string()] {
            prop_assert!(accepts(&automaton, &text), "{text}");
        }
        let text = serde_json::to_string(&number).unwrap();
        let far = text.split_once('e').is_some_and(|(_, exponent)| exponent.trim_start_matches(['-', '+']).parse::<u32>().unwrap() >= 300);
        prop_assert!(far || accepts(&automaton, &text), "{text}");
    }
}

/// Where floats are sparse, or a bound lies between two of them, no reading of it is crossed.
#[test]
fn bounds_hold_in_decimals_and_in_floats() {
    let bounds = [
        "9007199254740993",
        "9007199254740993.0",
        "-9007199254740993.0",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "1e20",
        "-1e20",
        "0.1000000000000000055",
        "100.00000000000000001",
        "4503599627370497.75",
    ];
    let near = |bound: &str| {
        let value = decimal(bound);
        let floats = [value.nearest().next_down(), value.nearest(), value.nearest().next_up()];
        // Whole floats by all their digits: the shortest digits that mean the same float are another
        // number to a checker of 64-bit integers.
        let written =
            |float: &f64| if float.fract() == 0.0 { format!("{float:.0}") } else { format!("{float}") };
        let mut near: Vec<String> = floats.iter().map(written).collect();
        // Numbers that are clearly on either side: of fractions near the bound few are written at all.
        let places = if value.nearest().abs() < 1e6 { 3 } else { 0 };
        near.extend([0.99, 1.01].map(|share| format!("{:.places$}", value.nearest() * share)));
        if let Ok(whole) = value.plain().parse::<i128>() {
            near.extend((-3..=3).map(|step| (whole + step).to_string()));
        }
        near
    };
    for bound in bounds {
        for keyword in ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "const"] {
            let value = decimal(bound);
            let logic = match keyword {
                "minimum" => Logic::Is(NumberTest::Minimum(value)),
                "maximum" => Logic::Is(NumberTest::Maximum(value)),
                "exclusiveMinimum" => Logic::Is(NumberTest::ExclusiveMinimum(value)),
                "exclusiveMaximum" => Logic::Is(NumberTest::ExclusiveMaximum(value)),
                _ => Logic::Not(Box::new(Logic::Is(NumberTest::Equals(value)))),
            };
            let condition: Value = serde_json::from_str(&format!("{{\"{keyword}\": {bound}}}")).unwrap();
            let oracle = oracle(&if keyword == "const" { json!({ "not": condition }) } else { condition });
            let automaton = automaton(&logic).unwrap();
            let accepted: Vec<_> = near(bound).into_iter().filter(|text| accepts(&automaton, text)).collect();
            for text in &accepted {
                let number: Value = serde_json::from_str(text).unwrap();
                assert!(oracle.is_valid(&number), "{text} under {keyword} {bound}");
            }
            assert!(!accepted.is_empty(), "{keyword} {bound}");
        }
    }
}

#[test]
fn integers_may_have_a_point_but_no_fraction() {
    let automaton = automaton(&Logic::Is(NumberTest::Integer)).unwrap();
    for text in ["0", "-7", "12", "1.0", "-20.00", "9223372036854775807", "18446744073709551615"] {
        assert!(accepts(&automaton, text), "{text}");
    }
    for text in ["", "-", "-0", "01", "1.", "1.5", "1e2", ".0", "+1", "1.01"] {
        assert!(!accepts(&automaton, text), "{text}");
    }
}

#[test]
fn a_value_may_be_spelled_with_a_zero_at_its_end() {
    let values = ["1", "2.5", "-3e2", "3.141592653589793238", "1e300"];
    let logic =
        Logic::Any(values.iter().map(|value| Logic::Is(NumberTest::Equals(decimal(value)))).collect());
    let automaton = automaton(&logic).unwrap();
    for text in ["1", "1.0", "2.5", "2.50", "-300", "-300.0", "3.141592653589793238", "1e300"] {
        assert!(accepts(&automaton, text), "{text}");
    }
    for text in ["2", "1.", "1.1", "1.00", "2.51", "2.500", "300", "-3e2", "3.14"] {
        assert!(!accepts(&automaton, text), "{text}");
    }
}

#[test]
fn conditions_that_nothing_satisfies_are_told() {
    let between = |a: &str, b: &str| {
        vec![
            Logic::Is(NumberTest::ExclusiveMinimum(decimal(a))),
            Logic::Is(NumberTest::ExclusiveMaximum(decimal(b))),
        ]
    };
    let mut none = between("1", "2");
    none.push(Logic::Is(NumberTest::Integer));
    assert!(automaton(&Logic::All(none)).is_none());
    assert!(automaton(&Logic::All(between("2", "2"))).is_none());
    assert!(automaton(&Logic::Any(vec![])).is_none());
    assert!(automaton(&Logic::All(between("1", "2"))).is_some());
}

#[test]
fn what_cannot_be_guaranteed_is_named() {
    let refused = |divisor: &str| {
        number_automaton(&Logic::Is(NumberTest::MultipleOf(decimal(divisor))), &[true; 256], &budget())
            .unwrap_err()
    };
    assert_eq!(refused("0"), ScalarError::Divisor("0".into()));
    assert_eq!(refused("-2"), ScalarError::Divisor("-2".into()));
    assert!(refused("0.12345678901234567").to_string().contains("0.12345678901234567"));
    assert!(matches!(refused("1000000007"), ScalarError::Budget(_)));
}

#[test]
fn automata_are_small() {
    let states = |tests: &[NumberTest]| {
        automaton(&Logic::All(tests.iter().cloned().map(Logic::Is).collect())).unwrap().states()
    };
    let (zero, cents) = (NumberTest::Minimum(decimal("0")), NumberTest::MultipleOf(decimal("0.01")));
    let integer = NumberTest::Integer;
    let cases = [
        (vec![zero.clone()], 150),
        (vec![zero.clone(), cents, NumberTest::Maximum(decimal("99999999999.99"))], 400),
        (vec![NumberTest::MultipleOf(decimal("1000000"))], 400),
        (vec![zero, integer, NumberTest::Maximum(decimal("2147483647"))], 200),
    ];
    for (tests, most) in cases {
        let states = states(&tests);
        assert!(states < most, "{states} {tests:?}");
    }
}
