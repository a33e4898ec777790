//! Looks of an expression as marks: bytes that no text has.

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, Look as Anchor, Repetition};

use super::super::syntax::{self, Expression, Look};
use super::Refused;

/// Bytes that are in no UTF-8 text.
pub(super) const MARKS: [u8; 13] =
    [0xF8, 0xF9, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF, 0xF5, 0xF6, 0xF7, 0xC0, 0xC1];

pub(super) fn unmarked() -> ClassBytes {
    let mut class = ClassBytes::new(MARKS.map(|mark| ClassBytesRange::new(mark, mark)));
    class.negate();
    class
}

pub(super) fn repeated(of: Hir) -> Hir {
    Hir::repetition(Repetition { min: 0, max: None, greedy: true, sub: Box::new(of) })
}

/// Looks on the way to becoming marks.
pub(super) struct Marks {
    pub(super) looks: Vec<Look>,
    /// Whether anchors and boundaries have to be marks too, since marks are between characters
    /// where an automaton would look for the beginning, the end and other characters.
    pub(super) needed: bool,
}

impl Marks {
    pub(super) fn lower(&mut self, expression: &Expression) -> Result<Hir, Refused> {
        Ok(match expression {
            Expression::Class(class) => Hir::class(Class::Unicode(class.clone())),
            Expression::Concat(parts) => {
                // Looks right after `^` have nothing behind them.
                let mut leading = false;
                let mut lowered = Vec::with_capacity(parts.len());
                for part in parts {
                    lowered.push(match part {
                        Expression::Look(look) => self.look(look, leading)?,
                        part => self.lower(part)?,
                    });
                    leading =
                        matches!(part, Expression::Start) || leading && matches!(part, Expression::Look(_));
                }
                Hir::concat(lowered)
            }
            Expression::Either(parts) => {
                Hir::alternation(parts.iter().map(|part| self.lower(part)).collect::<Result<_, _>>()?)
            }
            Expression::Repeat { least, most, of } => {
                let sub = Box::new(self.lower(of)?);
                Hir::repetition(Repetition { min: *least, max: *most, greedy: true, sub })
            }
            Expression::Start if self.needed => {
                self.mark(true, true, Expression::Class(syntax::anything()))?
            }
            Expression::End if self.needed => {
                self.mark(false, true, Expression::Class(syntax::anything()))?
            }
            Expression::Start => Hir::look(Anchor::Start),
            Expression::End => Hir::look(Anchor::End),
            Expression::Boundary { negated } if self.needed => {
                let mut word =
                    |behind, negated| self.mark(behind, negated, Expression::Class(syntax::word()));
                // A word behind and none ahead, or the other way round; the same on both sides if negated.
                let one = Hir::concat(vec![word(true, false)?, word(false, !negated)?]);
                let other = Hir::concat(vec![word(true, true)?, word(false, *negated)?]);
                Hir::alternation(vec![one, other])
            }
            Expression::Boundary { negated } => {
                Hir::look(if *negated { Anchor::WordAsciiNegate } else { Anchor::WordAscii })
            }
            Expression::Look(look) => self.look(look, false)?,
        })
    }

    /// A look's automaton sees only its own side of the place where it is.
    fn look(&mut self, look: &Look, leading: bool) -> Result<Hir, Refused> {
        let blind = match look.behind {
            true => has(&look.body, &|part| {
                matches!(part, Expression::End | Expression::Boundary { .. } | Expression::Look(_))
            }),
            false => {
                !leading
                    && has(&look.body, &|part| match part {
                        Expression::Look(look) => look.behind,
                        part => matches!(part, Expression::Start | Expression::Boundary { .. }),
                    })
            }
        };
        if blind {
            return Err(Refused::Reason(
                "a look ahead depends on what is behind it, or the other way round".into(),
            ));
        }
        self.mark(look.behind, look.negated, look.body.clone())
    }

    fn mark(&mut self, behind: bool, negated: bool, body: Expression) -> Result<Hir, Refused> {
        let look = Look { behind, negated, body };
        let index = match self.looks.iter().position(|known| *known == look) {
            Some(index) => index,
            None => {
                self.looks.push(look);
                self.looks.len() - 1
            }
        };
        match MARKS.get(index) {
            Some(mark) => Ok(Hir::literal([*mark])),
            None => Err(Refused::Reason(format!("it has more than {} looks ahead and behind", MARKS.len()))),
        }
    }
}

/// Whether something is said of a part of an expression, bodies of looks included.
pub(super) fn has(expression: &Expression, what: &impl Fn(&Expression) -> bool) -> bool {
    what(expression)
        || match expression {
            Expression::Concat(parts) | Expression::Either(parts) => parts.iter().any(|part| has(part, what)),
            Expression::Repeat { of, .. } => has(of, what),
            Expression::Look(look) => has(&look.body, what),
            _ => false,
        }
}
