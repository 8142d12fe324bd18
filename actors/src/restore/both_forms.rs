//! Objects that may lie in the bucket in both forms, plain and encrypted, with the same content.
//!
//! What lies there in both is *one* stream or bundle: it is restored once, and counts once. The form that the settings
//! prefer is read: the encrypted one where a backup writes encrypted (`AES_STATE` `enabled`), otherwise the plain one.
//! The other is read only where that one cannot be restored: it is gone, or damaged, or cannot be read although others
//! can. Only what neither form gives back is a dead letter, or gone; it is called by the form that was preferred.
//!
//! In a listing the encrypted form of a stream comes next after the plain one: whatever sorts between them is no key of
//! a stream, and where somebody has put such a thing there, the two count as two.

use std::ops::Deref;

use super::listed_key::{self, Form};
use crate::fault::{Fault, FaultKind};
use crate::ports::archive::ListedObject;

/// An object in the forms in which it was listed. Dereferences to the one that is to be read.
#[derive(Clone, Debug)]
pub struct Forms {
    read: ListedObject,
    other: Other,
}

/// The form that is not read.
#[derive(Clone, Debug)]
enum Other {
    None,
    /// It is there as well.
    Beside(ListedObject),
    /// It was preferred, and cannot be restored.
    Failed(ListedObject, Fault),
}

impl From<ListedObject> for Forms {
    fn from(read: ListedObject) -> Self {
        let other = Other::None;
        Self { read, other }
    }
}

impl Deref for Forms {
    type Target = ListedObject;

    fn deref(&self) -> &ListedObject {
        &self.read
    }
}

impl Forms {
    /// Takes the encrypted form of an object that is here as a plain one.
    ///
    /// # Errors
    /// It is not that: here it is again.
    pub fn join(&mut self, next: ListedObject, prefer: Form) -> Result<(), ListedObject> {
        let is_other_form = listed_key::plain(&next.key) == (self.read.key.as_str(), true)
            && !listed_key::plain(&self.read.key).1
            && matches!(self.other, Other::None);
        if !is_other_form {
            return Err(next);
        }
        let plain = std::mem::replace(&mut self.read, next);
        self.other = Other::Beside(plain);
        if prefer == Form::Plain
            && let Other::Beside(plain) = &mut self.other
        {
            std::mem::swap(&mut self.read, plain);
        }
        Ok(())
    }

    /// The forms, in the order of the listing.
    pub fn listed(&self) -> impl Iterator<Item = &ListedObject> {
        let mut forms = [Some(&self.read), self.other()];
        forms.sort_by_key(|form| form.map(|form| &form.key));
        forms.into_iter().flatten()
    }

    /// The key of the last of them: a listing that goes on after it has passed them all.
    pub fn last_key(&self) -> &str {
        self.listed().last().map_or("", |form| &form.key)
    }

    /// The key by which people know it: that of the form that was preferred.
    pub fn preferred_key(&self) -> &str {
        match &self.other {
            Other::Failed(preferred, _) => &preferred.key,
            Other::None | Other::Beside(_) => &self.read.key,
        }
    }

    /// Whether there is another form that can be read instead.
    pub fn has_another(&self) -> bool {
        matches!(self.other, Other::Beside(_))
    }

    /// The form that was read cannot be restored: from now on the other one is read, if there is one.
    pub fn fall_back(&mut self, fault: &Fault) -> bool {
        match std::mem::replace(&mut self.other, Other::None) {
            Other::Beside(other) => {
                log::warn!(key:% = other.key, error:% = fault; "{fault}; its other form is read instead: {}", other.key);
                let failed = std::mem::replace(&mut self.read, other);
                self.other = Other::Failed(failed, fault.clone());
                true
            }
            other => {
                self.other = other;
                false
            }
        }
    }

    /// What is said of it when the form that was read last came to this, too.
    pub fn blame(&self, fault: &Fault) -> Fault {
        match &self.other {
            Other::Failed(preferred, first) => {
                let detail = format_args!("{}; and its other form: {fault}", first.detail());
                let kind = match first.kind() {
                    FaultKind::Missing => fault.kind(),
                    kind => kind,
                };
                Fault::new(kind, first.operation(), &preferred.key, detail).tried(
                    first.attempts().max(fault.attempts()),
                    first.elapsed() + fault.elapsed(),
                )
            }
            Other::None | Other::Beside(_) => fault.clone(),
        }
    }

    fn other(&self) -> Option<&ListedObject> {
        match &self.other {
            Other::None => None,
            Other::Beside(other) | Other::Failed(other, _) => Some(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str) -> ListedObject {
        ListedObject {
            key: key.to_owned(),
            size: key.len() as u64,
            last_modified: None,
        }
    }

    fn both(prefer: Form) -> Forms {
        let mut forms = Forms::from(object("k"));
        forms.join(object("k.aesc1"), prefer).unwrap();
        forms
    }

    #[test]
    fn the_preferred_form_is_read_first_and_the_other_only_once_after_it() {
        for (prefer, first, second) in [(Form::Plain, "k", "k.aesc1"), (Form::Encrypted, "k.aesc1", "k")] {
            let mut forms = both(prefer);
            assert_eq!((forms.key.as_str(), forms.has_another()), (first, true));
            assert!(forms.fall_back(&Fault::corrupt("restore", first, "no gzip")));
            assert_eq!((forms.key.as_str(), forms.preferred_key()), (second, first));
            let listed: Vec<&str> = forms.listed().map(|form| form.key.as_str()).collect();
            assert_eq!((listed, forms.last_key()), (vec!["k", "k.aesc1"], "k.aesc1"));
            let fault = Fault::missing("restore", second, "it is gone");
            assert!(!forms.fall_back(&fault));
            let blamed = forms.blame(&fault);
            assert_eq!(blamed.kind(), FaultKind::Corrupt);
            assert_eq!(
                blamed.to_string(),
                format!("restore {first}: no gzip; and its other form: restore {second}: it is gone")
            );
        }
    }

    #[test]
    fn only_the_two_forms_of_one_object_are_joined() {
        for (first, second) in [
            ("k", "l.aesc1"),
            ("k", "k.aesc2"),
            ("k.aesc1", "k.aesc1.aesc1"),
            ("k", "k"),
        ] {
            let mut forms = Forms::from(object(first));
            let refused = forms.join(object(second), Form::Plain).unwrap_err();
            assert_eq!((refused.key.as_str(), forms.has_another()), (second, false));
        }
        assert!(both(Form::Plain).join(object("k.aesc1"), Form::Plain).is_err());
    }
}
