//! Rows as `COPY … FROM STDIN (FORMAT binary)` takes them: what PostgreSQL writes at its fastest.

use jiff::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};
use uuid::Uuid;

/// Signature, no flags, no extension.
const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// 2000-01-01T00:00:00Z, from which PostgreSQL counts, microseconds since 1970.
const EPOCH_US: i64 = 946_684_800_000_000;
/// The length of a field without a value.
const NULL: i32 = -1;
/// The version of `jsonb` on the wire.
const JSONB: u8 = 1;

/// A connection that goes back to its pool only after work that was done whole. One whose work failed or was given up, perhaps in
/// the middle of a COPY, is closed: what it answers next might be the answer to something else.
pub(crate) struct Lent(Option<PoolConnection<Postgres>>);

impl Lent {
    pub(crate) async fn from(pool: &PgPool) -> Result<Self, sqlx::Error> {
        Ok(Self(Some(pool.acquire().await?)))
    }

    /// The connection, until it is given back.
    pub(crate) fn conn(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.0.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// The work is done.
    pub(crate) fn give_back(mut self) {
        self.0 = None;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(mut conn) = self.0.take() {
            conn.close_on_drop();
        }
    }
}

/// Rows in the binary format. The caller gives each row as many fields as it said, of the types of the columns.
#[derive(Debug)]
pub(crate) struct Rows {
    bytes: Vec<u8>,
    count: usize,
}

impl Default for Rows {
    fn default() -> Self {
        Self { bytes: HEADER.to_vec(), count: 0 }
    }
}

impl Rows {
    /// Begins anew, with the room it had.
    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(HEADER.len());
        self.count = 0;
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Begins a row of so many fields.
    pub(crate) fn row(&mut self, fields: i16) -> &mut Self {
        self.bytes.extend(fields.to_be_bytes());
        self.count += 1;
        self
    }

    /// A field as it is on the wire; nothing is `null`, and so is what is longer than the format can say, 2 GB.
    fn raw(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value.and_then(|value| Some((i32::try_from(value.len()).ok()?, value))) {
            Some((length, value)) => {
                self.bytes.extend(length.to_be_bytes());
                self.bytes.extend(value);
            }
            None => self.bytes.extend(NULL.to_be_bytes()),
        }
        self
    }

    pub(crate) fn int8(&mut self, value: i64) -> &mut Self {
        self.raw(Some(&value.to_be_bytes()))
    }

    pub(crate) fn int4(&mut self, value: i32) -> &mut Self {
        self.raw(Some(&value.to_be_bytes()))
    }

    pub(crate) fn int2(&mut self, value: i16) -> &mut Self {
        self.raw(Some(&value.to_be_bytes()))
    }

    pub(crate) fn float8(&mut self, value: Option<f64>) -> &mut Self {
        self.raw(value.map(f64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice))
    }

    pub(crate) fn boolean(&mut self, value: Option<bool>) -> &mut Self {
        self.raw(value.map(|on| [u8::from(on)]).as_ref().map(<[u8; 1]>::as_slice))
    }

    pub(crate) fn text(&mut self, value: Option<&str>) -> &mut Self {
        self.raw(value.map(str::as_bytes))
    }

    pub(crate) fn uuid(&mut self, value: Option<Uuid>) -> &mut Self {
        self.raw(value.as_ref().map(|id| id.as_bytes().as_slice()))
    }

    pub(crate) fn timestamptz(&mut self, value: Option<Timestamp>) -> &mut Self {
        self.raw(value.map(|at| (at.as_microsecond() - EPOCH_US).to_be_bytes()).as_ref().map(<[u8; 8]>::as_slice))
    }

    /// `json`: as text.
    pub(crate) fn jsonb(&mut self, json: &str) -> &mut Self {
        let Ok(length) = i32::try_from(json.len() + 1) else { return self.raw(None) };
        self.bytes.extend(length.to_be_bytes());
        self.bytes.push(JSONB);
        self.bytes.extend(json.as_bytes());
        self
    }

    /// Copies the rows in. `statement`: `copy … from stdin (format binary)`, with the columns in the order of the fields.
    pub(crate) async fn copy(&self, conn: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
        if self.count == 0 {
            return Ok(());
        }
        let mut copy = conn.copy_in_raw(statement).await?;
        // No trailer: the end of the messages is the end of the rows.
        copy.send(self.bytes.as_slice()).await?;
        copy.finish().await?;
        Ok(())
    }
}
