//! The nesting of `.if`, `.elif`, `.else` and `.endif` in one file.
//!
//! Pure. Governed by the configuration manual §2.4. A branch whose condition is not known is read,
//! and so are those after it that may be HAProxy's choice as well.

use super::condition::Truth;

/// Where in the conditions a file stands.
#[derive(Default)]
pub struct Blocks {
    open: Vec<Block>,
}

struct Block {
    /// Whether what surrounds it is read.
    outer: bool,
    /// Whether the present branch is read.
    reading: bool,
    /// Whether a branch before the present one is surely HAProxy's choice.
    decided: bool,
    /// Whether its `.else` has come.
    at_else: bool,
    /// The line of its `.if`.
    line: usize,
}

/// A directive without the `.if` it needs.
pub struct Stray;

impl Blocks {
    /// Whether the lines that follow count.
    pub fn is_reading(&self) -> bool {
        self.open.last().is_none_or(|block| block.reading)
    }

    /// `.if`; the condition is asked for only where it matters.
    pub fn begin(&mut self, line: usize, condition: impl FnOnce() -> Truth) {
        let outer = self.is_reading();
        let mut block = Block {
            outer,
            reading: false,
            decided: false,
            at_else: false,
            line,
        };
        block.branch(condition);
        self.open.push(block);
    }

    /// `.elif`.
    ///
    /// # Errors
    /// There is no `.if`, or its `.else` has come.
    pub fn otherwise_if(&mut self, condition: impl FnOnce() -> Truth) -> Result<(), Stray> {
        self.before_else()?.branch(condition);
        Ok(())
    }

    /// `.else`.
    ///
    /// # Errors
    /// There is no `.if`, or its `.else` has come.
    pub fn otherwise(&mut self) -> Result<(), Stray> {
        let block = self.before_else()?;
        block.branch(|| Truth::True);
        block.at_else = true;
        Ok(())
    }

    /// `.endif`.
    ///
    /// # Errors
    /// There is no `.if`.
    pub fn end(&mut self) -> Result<(), Stray> {
        self.open.pop().map(|_| ()).ok_or(Stray)
    }

    /// The lines of the `.if`s that have no end.
    pub fn unended(&self) -> impl Iterator<Item = usize> {
        self.open.iter().map(|block| block.line)
    }

    fn before_else(&mut self) -> Result<&mut Block, Stray> {
        self.open
            .last_mut()
            .filter(|block| !block.at_else)
            .ok_or(Stray)
    }
}

impl Block {
    fn branch(&mut self, condition: impl FnOnce() -> Truth) {
        self.reading = self.outer && !self.decided && {
            let truth = condition();
            self.decided = truth == Truth::True;
            truth != Truth::False
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the branches `.if`, `.elif`, `.else` are read for these conditions of the first
    /// two.
    fn read(first: Truth, second: Truth) -> [bool; 3] {
        let mut blocks = Blocks::default();
        blocks.begin(1, || first);
        let in_if = blocks.is_reading();
        assert!(blocks.otherwise_if(|| second).is_ok());
        let in_elif = blocks.is_reading();
        assert!(blocks.otherwise().is_ok());
        let in_else = blocks.is_reading();
        assert!(blocks.end().is_ok());
        assert!(blocks.is_reading());
        [in_if, in_elif, in_else]
    }

    #[test]
    fn every_branch_that_may_be_chosen_is_read_and_no_other() {
        use Truth::{False, True, Unknown};
        for (first, second, branches) in [
            (True, True, [true, false, false]),
            (True, Unknown, [true, false, false]),
            (False, True, [false, true, false]),
            (False, False, [false, false, true]),
            (False, Unknown, [false, true, true]),
            (Unknown, False, [true, false, true]),
            (Unknown, True, [true, true, false]),
            (Unknown, Unknown, [true, true, true]),
        ] {
            assert_eq!(read(first, second), branches, "{first:?} {second:?}");
        }
    }

    #[test]
    fn in_a_branch_that_is_not_read_no_condition_is_asked_for() {
        let mut blocks = Blocks::default();
        blocks.begin(1, || Truth::False);
        blocks.begin(2, || panic!("asked"));
        assert!(blocks.otherwise_if(|| panic!("asked")).is_ok());
        assert!(blocks.otherwise().is_ok());
        assert!(!blocks.is_reading());
        assert_eq!(blocks.unended().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn directives_out_of_place_are_refused() {
        let mut blocks = Blocks::default();
        assert!(blocks.end().is_err());
        assert!(blocks.otherwise().is_err());
        assert!(blocks.otherwise_if(|| Truth::True).is_err());
        blocks.begin(1, || Truth::False);
        assert!(blocks.otherwise().is_ok());
        assert!(blocks.otherwise().is_err());
        assert!(blocks.otherwise_if(|| Truth::True).is_err());
        assert!(blocks.is_reading());
    }
}
