//! Labels as enums: a label has a handful of values, all known when the program is compiled.

/// The release that is being built, as the value of a label. The reference names it instead of showing it.
pub const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// A label and its values, as they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelNames {
    /// Its key.
    pub key: &'static str,
    /// Its values.
    pub values: &'static [&'static str],
}

/// An enum whose variants are the values of one label. Made by [`labels!`](crate::labels).
pub trait Label: Copy + 'static {
    /// The names.
    const NAMES: LabelNames;

    /// Which of the values this is, counted from 0.
    fn place(self) -> usize;
}

/// What tells the series of a metric apart: one label, or two.
pub trait LabelSet: Copy + 'static {
    /// The labels.
    const LABELS: &'static [LabelNames];

    /// Which of all combinations this is, counted from 0; the last label runs fastest.
    fn series(self) -> usize;
}

impl<A: Label, B: Label> LabelSet for (A, B) {
    const LABELS: &'static [LabelNames] = &[A::NAMES, B::NAMES];

    fn series(self) -> usize {
        self.0.place() * B::NAMES.values.len() + self.1.place()
    }
}

/// Every combination of the labels' values, in the order of [`LabelSet::series`].
pub(crate) fn combinations(labels: &[LabelNames]) -> Vec<Vec<(&'static str, &'static str)>> {
    let mut all = vec![Vec::new()];
    for label in labels {
        let longer = |pairs: Vec<(&'static str, &'static str)>| {
            label.values.iter().map(move |value| {
                let mut pairs = pairs.clone();
                pairs.push((label.key, *value));
                pairs
            })
        };
        all = all.into_iter().flat_map(longer).collect();
    }
    all
}

/// Declares enums that are labels:
///
/// ```
/// flame_metrics::labels! {
///     /// How a task ended.
///     pub enum End: "end" {
///         /// Well.
///         Succeeded = "succeeded",
///         /// Badly.
///         Failed = "failed",
///     }
/// }
/// ```
#[macro_export]
macro_rules! labels {
    ($($(#[$doc:meta])* $vis:vis enum $name:ident: $key:literal {
        $($(#[$value_doc:meta])* $variant:ident = $value:expr,)+
    })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name {
            $($(#[$value_doc])* $variant,)+
        }

        impl $crate::Label for $name {
            const NAMES: $crate::LabelNames = $crate::LabelNames { key: $key, values: &[$($value),+] };

            fn place(self) -> usize {
                self as usize
            }
        }

        impl $crate::LabelSet for $name {
            const LABELS: &'static [$crate::LabelNames] = &[<Self as $crate::Label>::NAMES];

            fn series(self) -> usize {
                self as usize
            }
        }
    )+};
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::labels! {
        enum Where: "where" {
            Here = "here",
            There = "there",
        }
        enum Level: "level" {
            Low = "0",
            Middle = "1",
            High = "2",
        }
    }

    #[test]
    fn each_combination_has_its_place() {
        assert_eq!((Where::Here.place(), Level::High.series()), (0, 2));
        let all = combinations(<(Where, Level) as LabelSet>::LABELS);
        assert_eq!(all.len(), 6);
        for (place, whole, level) in [(Where::Here, "here", Level::High), (Where::There, "there", Level::Middle)] {
            let found = &all[(place, level).series()];
            assert_eq!(found[0], ("where", whole));
            assert_eq!(found[1].1, Level::NAMES.values[level as usize]);
        }
        assert_eq!((Where::There, Level::Low).series(), 3);
        assert_eq!(combinations(&[]), [Vec::new()]);
    }
}
