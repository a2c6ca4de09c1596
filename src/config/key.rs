//! A key of `lopper.toml`, and the macro that describes a table of keys in one place.

use super::kind::Raw;

/// A table of `lopper.toml`, whose keys are stored in a `T`.
pub(super) struct Table<T: 'static> {
    pub name: &'static str,
    /// Lines of documentation.
    pub about: &'static [&'static str],
    pub keys: &'static [Key<T>],
}

/// One setting.
pub(super) struct Key<T: 'static> {
    pub table: &'static str,
    pub name: &'static str,
    /// Lines of documentation.
    pub about: &'static [&'static str],
    /// The values it takes, in words.
    pub takes: fn() -> String,
    /// Their range, such as "above 0"; empty where all are right.
    pub range: &'static str,
    /// The value as a file would have it; none where there is none.
    pub get: fn(&T) -> Option<String>,
    /// Checks a value and stores it; an error says what the value must be.
    pub read: fn(&mut T, &Raw<'_>) -> Result<(), String>,
    /// Whether a key may stand here in error, so that a wrong value is not repeated.
    pub names_secret: bool,
    pub options: Options,
}

/// Properties that only some settings have.
pub(super) struct Options {
    /// For a key without a default: a value to show how one looks.
    pub example: &'static str,
    /// The flag that sets it too.
    pub flag: &'static str,
    /// Whether a change counts only once Lopper is started again.
    pub at_start: bool,
}

impl Options {
    pub(super) const NONE: Self = Self { example: "", flag: "", at_start: false };
}

impl<T> Key<T> {
    /// Sets the key.
    ///
    /// # Errors
    /// A sentence with the key, its value and what it must be.
    pub(super) fn set(&self, target: &mut T, raw: &Raw<'_>) -> Result<(), String> {
        (self.read)(target, raw).map_err(|why| {
            let shown = raw.shown();
            // A key or a password may stand here in error.
            let shown = if self.names_secret || shown.contains('@') { "wrong" } else { &shown };
            format!("{}.{} is {shown}; {why}", self.table, self.name)
        })
    }

    /// The environment variable that sets the key.
    pub(super) fn variable(&self) -> String {
        variable(self.table, self.name)
    }
}

/// The environment variable of a section's key.
pub(super) fn variable(section: &str, name: &str) -> String {
    format!("LOPPER_{section}_{name}").to_ascii_uppercase()
}

/// Describes a table of keys: the struct that holds their values, its defaults, and all that is said of a key.
///
/// A key is `/// words` and `name: Type = default, KIND;`, after which [`Options`] may follow: `, flag: "--listen"`. Its type
/// is the kind's, or an `Option` of that. Fields `beside` the keys are no settings.
macro_rules! table {
    (
        $(#[doc = $about:literal])*
        struct $Struct:ident, $TABLE:ident: $table:literal in $Root:ident $(.$section:ident)?
            $( beside { $( $(#[doc = $note:literal])* $extra:ident: $Extra:ty; )* } )?;
        $( $(#[doc = $words:literal])* $key:ident: $Type:ty = $default:expr, $kind:expr $(, $option:ident: $value:expr)*; )*
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $Struct {
            $( $( $(#[doc = $note])* pub $extra: $Extra, )* )?
            $( $(#[doc = $words])* pub $key: $Type, )*
        }

        impl Default for $Struct {
            fn default() -> Self {
                Self { $( $( $extra: Default::default(), )* )? $( $key: $default, )* }
            }
        }

        #[allow(clippy::needless_update, reason = "a key may have every option")]
        pub(super) static $TABLE: $crate::config::key::Table<$Root> = {
            use $crate::config::key;
            use $crate::config::kind::Field;

            fn part(root: &$Root) -> &$Struct {
                &(*root)$(.$section)?
            }

            fn part_mut(root: &mut $Root) -> &mut $Struct {
                &mut (*root)$(.$section)?
            }

            let keys = &[$(
                key::Key {
                    table: $table,
                    name: stringify!($key),
                    about: &[$($words),*],
                    takes: || $kind.describe(),
                    range: $kind.range,
                    get: |root| Field::value(&part(root).$key).map(|value| $kind.show(value)),
                    read: |root, raw| Ok(Field::put(&mut part_mut(root).$key, $kind.read(raw)?)),
                    names_secret: $kind.names_secret,
                    options: key::Options { $( $option: $value, )* ..key::Options::NONE },
                },
            )*];
            key::Table { name: $table, about: &[$($about),*], keys }
        };
    };
}
pub(super) use table;
