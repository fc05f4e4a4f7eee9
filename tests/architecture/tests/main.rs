//! The repository fits its layout and its glossary; and whatever does not fit is found, in trees that are planted for it.

mod book;
mod built;
mod contributing;
mod layout;
mod links;
mod pages;
mod planted;
mod repository;
mod words;
