//! An assistant's settings file on the disk: changed after a copy was made, and put back.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::edit::{Hunk, Refusal, apply, hunks, take_back};
use super::{Assistant, Target};

/// What came of writing.
#[derive(Debug, PartialEq)]
pub enum Written {
    /// It was all there.
    AsItWas,
    /// The file was made.
    New,
    /// The file was changed; what it was is in this copy.
    Changed(PathBuf),
}

/// What came of undoing.
#[derive(Debug, PartialEq)]
pub enum Undone {
    /// There was nothing of Lopper's.
    Nothing,
    /// The file is gone, which Lopper had made.
    Removed,
    /// The file is, byte for byte, what it was.
    Restored,
    /// Others had changed the file as well; only what was Lopper's is gone.
    TakenOut,
}

/// The settings file, and what the copy of it is called.
pub struct Files {
    file: PathBuf,
    copy: PathBuf,
}

impl Files {
    /// Those of the settings file at `file`.
    pub fn new(file: PathBuf) -> Self {
        let mut copy = file.clone().into_os_string();
        copy.push(".lopper-backup");
        Self { file, copy: copy.into() }
    }

    /// The settings file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The file as it is; empty where there is none.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn now(&self) -> anyhow::Result<String> {
        Ok(read(&self.file)?.unwrap_or_default())
    }

    /// What the file was without Lopper, as far as that is known; empty where there was none.
    ///
    /// # Errors
    /// When it, or its copy, can't be read.
    pub fn before(&self, assistant: &dyn Assistant) -> anyhow::Result<String> {
        let now = self.now()?;
        let copy = read(&self.copy)?;
        Ok(copy.filter(|_| assistant.is_lopper_in(&now)).unwrap_or(now))
    }

    /// Points the assistant at Lopper.
    ///
    /// # Errors
    /// When the file can't be read or written, or a person has to change it; then it is as it was.
    pub fn write(&self, assistant: &dyn Assistant, target: &Target) -> anyhow::Result<Written> {
        let now = read(&self.file)?;
        let copy = read(&self.copy)?;
        if now.is_none() && copy.is_some() {
            bail!(
                "{} is gone, but a copy of it is in {}; put it back, or the copy elsewhere",
                self.file.display(),
                self.copy.display()
            );
        }
        // As Lopper left it: what was before is known, and is made anew from.
        let before = copy.clone().unwrap_or_default();
        let is_untouched = now.as_ref().is_some_and(|now| written(assistant, &before, now, target).is_some());
        let from = if is_untouched { before } else { now.clone().unwrap_or_default() };
        let refused = |refusal: Refusal| {
            let snippet = assistant.snippet(&target.url);
            anyhow!("{} is left as it is: {refusal}. By hand, it takes this:\n\n{snippet}", self.file.display())
        };
        let new = apply(&from, &assistant.edits(&from, target).map_err(refused)?);
        let Some(now) = now else {
            if let Some(folder) = self.file.parent() {
                fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
            }
            put(&self.file, &new)?;
            return Ok(Written::New);
        };
        if new == now {
            return Ok(Written::AsItWas);
        }
        // The copy is of the file before Lopper came; where Lopper made the file there is none.
        if if copy.is_some() { !assistant.is_lopper_in(&now) } else { !is_untouched } {
            fs::copy(&self.file, &self.copy).with_context(|| format!("{} can't be written", self.copy.display()))?;
        }
        put(&self.file, &new)?;
        Ok(if self.copy.exists() { Written::Changed(self.copy.clone()) } else { Written::New })
    }

    /// Takes back what [`Self::write`] did.
    ///
    /// # Errors
    /// When the file can't be read or written, or others have changed Lopper's lines; then it is as it was.
    pub fn undo(&self, assistant: &dyn Assistant, target: &Target) -> anyhow::Result<Undone> {
        let copy = read(&self.copy)?;
        let Some(now) = read(&self.file)?.filter(|now| assistant.is_lopper_in(now)) else { return Ok(Undone::Nothing) };
        let before = copy.clone().unwrap_or_default();
        if written(assistant, &before, &now, target).is_some() {
            return self.put_back(copy.as_deref(), Undone::Restored);
        }
        let url = assistant.urls(&now).into_iter().next().unwrap_or_else(|| target.url.clone());
        let edits = assistant.edits(&before, &Target { url, ..target.clone() }).unwrap_or_default();
        let all = hunks(&before, &edits);
        let (rest, missing) = take_back(now.clone(), &all);
        let is_left = !missing.is_empty() && assistant.is_lopper_in(&rest);
        if is_left || assistant.others(&rest) != assistant.others(&now) {
            bail!("{}", self.by_hand(&all, copy.is_some()));
        }
        if copy.is_none() && rest.trim().is_empty() {
            return self.put_back(None, Undone::Removed);
        }
        self.put_back(Some(&rest), Undone::TakenOut)
    }

    /// The copy of the file, as it was before Lopper.
    pub fn copy(&self) -> &Path {
        &self.copy
    }

    fn put_back(&self, text: Option<&str>, done: Undone) -> anyhow::Result<Undone> {
        match text {
            Some(text) => put(&self.file, text)?,
            None => remove(&self.file)?,
        }
        remove(&self.copy)?;
        Ok(if text.is_none() { Undone::Removed } else { done })
    }

    /// What a person has to do where Lopper's lines are not as it wrote them.
    fn by_hand(&self, hunks: &[Hunk], has_copy: bool) -> String {
        let mut told = format!(
            "{} was changed since, so that a program can't tell what is whose, and is left as it is. By hand, take out:\n",
            self.file.display()
        );
        for Hunk { old, new } in hunks {
            told += &format!("\n{}\n", new.trim());
            if !old.trim().is_empty() {
                told += &format!("\nwhere this was before:\n\n{}\n", old.trim());
            }
        }
        if has_copy {
            told += &format!("\nThe whole file as it was before is in {}", self.copy.display());
        }
        told.trim_end().to_owned()
    }
}

/// With which URL Lopper made `now` from `before`, if it did and nobody has changed it since.
fn written(assistant: &dyn Assistant, before: &str, now: &str, target: &Target) -> Option<String> {
    assistant.urls(now).into_iter().find(|url| {
        let target = Target { url: url.clone(), ..target.clone() };
        assistant.edits(before, &target).is_ok_and(|edits| !edits.is_empty() && apply(before, &edits) == now)
    })
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} can't be read", path.display())),
    }
}

/// Into the same file, which may be a link to one, and keeps who may read it.
fn put(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("{} can't be written", path.display()))
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} can't be removed", path.display()))
        }
        _ => Ok(()),
    }
}
