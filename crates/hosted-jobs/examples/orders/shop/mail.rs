//! Mails, written to a maildir: first to `tmp`, and by one rename to `new`.

use super::database::now;
use hosted_jobs::rusqlite::params;
use hosted_jobs::{Job, JobContext, Options, Result};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The mail that confirms an order.
#[derive(Serialize, Deserialize)]
pub(crate) struct SendMail {
    pub(crate) order: i64,
    pub(crate) customer: String,
    pub(crate) item: String,
}

impl Job for SendMail {
    const KIND: &'static str = "mail.send";

    fn options() -> Options {
        Options::new().queue("mail")
    }
}

pub(crate) struct Maildir {
    folder: PathBuf,
}

impl Maildir {
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        for name in ["tmp", "new", "cur"] {
            fs::create_dir_all(folder.join(name))?;
        }
        Ok(Maildir { folder: folder.to_owned() })
    }

    /// Delivers the mail, and marks the order in the transaction that ends the job.
    pub(crate) fn send(&self, job: &SendMail, ctx: &JobContext) -> Result {
        // A process that died after the delivery and before the commit has delivered already.
        if !self.has(job.order)? {
            self.deliver(job)?;
        }
        let tx = ctx.transaction()?;
        tx.execute("UPDATE orders SET mailed_at = ?2 WHERE id = ?1", params![job.order, now()])?;
        ctx.complete_on(&tx)?;
        Ok(tx.commit()?)
    }

    /// The name of a mail is that of its order, so a second delivery would replace the first.
    fn deliver(&self, job: &SendMail) -> io::Result<()> {
        let (SendMail { order, customer, item }, name) = (job, format!("order-{}", job.order));
        let temporary = self.folder.join("tmp").join(&name);
        let mut file = File::create(&temporary)?;
        write!(file, "To: {customer}\nSubject: Your order {order}\n\nThank you for your order {order}: {item}.\n")?;
        file.sync_all()?;
        let new = self.folder.join("new");
        fs::rename(&temporary, new.join(&name))?;
        File::open(new)?.sync_all() // the rename too survives a power failure
    }

    /// Returns `true` if the mail of the order is there. A reader moves mails to `cur`, and adds flags to their names.
    fn has(&self, order: i64) -> io::Result<bool> {
        let name = format!("order-{order}");
        if self.folder.join("new").join(&name).exists() || self.folder.join("cur").join(&name).exists() {
            return Ok(true);
        }
        let with_flags = format!("{name}:");
        for entry in fs::read_dir(self.folder.join("cur"))? {
            if entry?.file_name().to_string_lossy().starts_with(&with_flags) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
