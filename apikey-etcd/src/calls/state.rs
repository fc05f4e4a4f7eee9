use apikey_core::cluster::{Fence, Image, LedgerResult, Piece, Position};
use apikey_engine::{OwnedStep, damaged, no_log};

use super::forms::{encode_position, position};
use super::keys::Keys;
use super::transaction::{delete, holds, one, put, range, read, transact};
use crate::failure::{Failure, full};
use crate::rpc::{KeyValue, RangeRequest};
use crate::session::Connection;

/// The images of one request of a load.
const PAGE: i64 = 1000;

pub(crate) async fn advance(connection: &Connection, keys: &Keys, step: &OwnedStep) -> Result<bool, Failure> {
    let generation = step.generation;
    let mut compare = vec![holds(keys.state(generation), encode_position(&step.from))];
    if let Some(Fence { cell, value }) = &step.fence {
        compare.push(holds(keys.cell(cell)?, value.clone()));
    }
    let mut success = vec![
        put(keys.state(generation), encode_position(&step.to)),
        put(keys.state_head(generation), step.head.clone()),
    ];
    success.extend(step.images.iter().map(|image| {
        let key = keys.image(generation, image.kind, &image.name);
        match &image.value {
            Some(value) => put(key, value.clone()),
            None => delete(key),
        }
    }));
    match transact(connection, compare, success, vec![range(one(keys.state(generation)))]).await {
        Ok(done) if done.held => Ok(true),
        Ok(mut done) => match done.value()? {
            Some(_) => Ok(false),
            None => Err(no_log(generation).into()),
        },
        Err(failure) if failure.is_no_space() => {
            let now = read(connection, vec![one(keys.state(generation))]).await?.value()?;
            let now = position(&now.ok_or_else(|| no_log(generation))?)?;
            // It may have been done all the same; of one that stays where it is the position does not show it.
            if now == step.from && step.from != step.to { Err(full().into()) } else { Err(failure) }
        }
        Err(failure) => Err(failure),
    }
}

/// A moment at which a state is being loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    generation: u64,
    revision: i64,
}

/// The begin of a load.
pub(crate) struct Loading {
    pub(crate) moment: Moment,
    pub(crate) position: Position,
    pub(crate) head: Vec<u8>,
    /// All images, if they are few; else they are read by shards.
    pub(crate) few: Option<Shard>,
}

pub(crate) async fn load(connection: &Connection, keys: &Keys, generation: u64) -> Result<Loading, Failure> {
    let (key, range_end) = keys.images(generation);
    let images = RangeRequest { key, range_end, limit: PAGE, ..RangeRequest::default() };
    let ranges = vec![one(keys.state(generation)), one(keys.state_head(generation)), images];
    let mut done = read(connection, ranges).await?;
    let position = position(&done.value()?.ok_or_else(|| no_log(generation))?)?;
    let head = done.value()?.unwrap_or_default();
    let images = done.range()?;
    let few = (!images.more).then(|| Shard::new(keys.clone(), generation, images.kvs));
    Ok(Loading { moment: Moment { generation, revision: done.revision }, position, head, few })
}

/// Reads a shard; `None` if the moment is lost, since etcd has compacted it.
pub(crate) async fn shard(
    connection: &Connection,
    keys: &Keys,
    moment: Moment,
    shard: u16,
) -> Result<Option<Shard>, Failure> {
    let Moment { generation, revision } = moment;
    let (mut key, range_end) = keys.shard(generation, shard);
    let mut all = Vec::new();
    loop {
        let page = RangeRequest {
            key: key.clone(),
            range_end: range_end.clone(),
            limit: PAGE,
            revision,
            ..RangeRequest::default()
        };
        let page = match read(connection, vec![page]).await {
            Ok(mut done) => done.range()?,
            Err(failure) if failure.is_compacted() => return Ok(None),
            Err(failure) => return Err(failure),
        };
        if let Some(last) = page.kvs.last() {
            key = [&last.key[..], &[0]].concat();
        }
        all.extend(page.kvs);
        if !page.more {
            return Ok(Some(Shard::new(keys.clone(), generation, all)));
        }
    }
}

/// Some images.
pub(crate) struct Shard {
    keys: Keys,
    generation: u64,
    pairs: Vec<KeyValue>,
}

impl Shard {
    fn new(keys: Keys, generation: u64, pairs: Vec<KeyValue>) -> Self {
        Self { keys, generation, pairs }
    }

    pub(crate) fn give(&self, take: &mut dyn FnMut(Piece<'_>) -> LedgerResult<()>) -> LedgerResult<()> {
        for pair in &self.pairs {
            let named = self.keys.kind_and_name(self.generation, &pair.key);
            let (kind, name) = named.ok_or_else(|| damaged("an image has a key that is none"))?;
            take(Piece::Image(Image { kind, name: &name, value: Some(&pair.value) }))?;
        }
        Ok(())
    }
}
