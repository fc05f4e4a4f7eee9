//! Completions, in real shells.

use std::fs;
use std::process::{Command, Stdio};

use super::{Done, Place};

/// Runs a shell without the user's configuration.
fn shell(place: &Place, name: &str, arguments: &[&str]) -> Done {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(place.0.path()).env("HOME", place.0.path()).env("ZDOTDIR", place.0.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}; ./test installs what is missing"));
    Done::of(child)
}

/// A place with a shell's completions in a file.
fn completions_in(name: &str) -> Place {
    let place = Place::new();
    let script = place.run(&["completions", name]).ok().out;
    fs::write(place.path("apikey"), script).unwrap();
    place
}

#[test]
fn every_shell_can_read_its_completions() {
    for name in ["bash", "fish", "zsh"] {
        let done = shell(&completions_in(name), name, &["-n", "apikey"]).ok();
        assert_eq!((done.out, done.err), (String::new(), String::new()), "{name}");
    }
}

#[test]
fn bash_loads_them() {
    shell(&completions_in("bash"), "bash", &["--norc", "-c", ". ./apikey && complete -p apikey"]).ok().shows("_apikey");
}

#[test]
fn zsh_loads_them() {
    let script = "autoload -U compinit && compinit -D && . ./apikey && whence -w _apikey && print $_comps[apikey]";
    shell(&completions_in("zsh"), "zsh", &["-f", "-c", script]).ok().shows("_apikey: function\n_apikey\n");
}

/// Fish shows each completion with its help, even if the help has characters that are special in fish.
#[test]
fn fish_loads_and_shows_them() {
    let place = completions_in("fish");
    let offered = |typed: &str| {
        let script = format!("source ./apikey; complete --do-complete 'apikey {typed}'");
        let done = shell(&place, "fish", &["--no-config", "-c", &script]).ok();
        assert_eq!(done.err, "");
        done
    };
    offered("").shows("import\t").shows("run-due\t");
    offered("import --from ").shows("djangorestframework-api-key\t`sha512$$` and SHA-512 of the whole key");
}
