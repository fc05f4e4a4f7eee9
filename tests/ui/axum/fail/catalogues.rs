//! A catalogue is checked as a whole.

#![allow(unused)]

use apikey::permissions;

permissions! {
    enum Bad {
        Read = "orders:read",
        Write = "Orders:write",
    }
}

permissions! {
    enum Twice {
        Read = "orders:read",
        Write = "orders:write",
        AlsoRead = "orders:read",
    }
}

fn main() {}
