//! The orders that the API serves. They are in memory and know nothing of keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// An order as the API shows it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Order {
    id: usize,
    item: String,
    quantity: u32,
    /// The owner of the key that placed it.
    placed_by: String,
}

/// An order as a caller sends it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOrder {
    item: String,
    quantity: u32,
}

/// The totals of the orders.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    orders: usize,
    /// Pieces ordered, by owner.
    pieces: BTreeMap<String, u64>,
}

/// All orders of this process.
#[derive(Debug, Clone)]
pub(crate) struct Orders(Arc<Mutex<Vec<Order>>>);

impl Orders {
    /// A few, so that there is something to see.
    pub(crate) fn sample() -> Self {
        let sample = [("Green tea, 100 g", 4), ("Teapot", 1), ("Cups", 6)];
        let orders = (1..).zip(sample);
        let orders = orders.map(|(id, (item, quantity))| Order {
            id,
            item: item.to_owned(),
            quantity,
            placed_by: "carol".to_owned(),
        });
        Self(Arc::new(Mutex::new(orders.collect())))
    }

    pub(crate) fn all(&self) -> Vec<Order> {
        self.lock().clone()
    }

    /// Adds an order, or says what is wrong with it.
    pub(crate) fn place(&self, new: &NewOrder, placed_by: &str) -> Result<Order, &'static str> {
        let item = new.item.trim();
        if item.is_empty() || item.chars().count() > 80 || item.chars().any(char::is_control) {
            return Err("item must have 1 to 80 characters");
        }
        if !(1..=1000).contains(&new.quantity) {
            return Err("quantity must be 1 to 1000");
        }
        let mut orders = self.lock();
        let order = Order {
            id: orders.len() + 1,
            item: item.to_owned(),
            quantity: new.quantity,
            placed_by: placed_by.to_owned(),
        };
        orders.push(order.clone());
        Ok(order)
    }

    pub(crate) fn report(&self) -> Report {
        let orders = self.lock();
        let mut pieces = BTreeMap::new();
        for order in orders.iter() {
            *pieces.entry(order.placed_by.clone()).or_default() += u64::from(order.quantity);
        }
        Report { orders: orders.len(), pieces }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Order>> {
        // A panic elsewhere leaves the list whole: orders are only ever pushed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
