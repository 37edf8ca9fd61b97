//! A dry run, and a file over everything else.

use super::*;

fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("loadline-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

fn sources(shadow: &Path) -> Sources {
    let mut sources = Given::app().set("queue.depth=7").sources;
    sources.set.push(format!("shadow={}", shadow.display()));
    sources
}

#[test]
fn a_shadow_is_the_settings_in_force_with_the_files_values() {
    let path = file("over.toml", "[limit]\nconcurrency = 9\n");
    let loaded = load(&sources(&path)).unwrap();
    let shadow = loaded.shadow.unwrap();
    assert_eq!((loaded.settings.limit.ceiling().get(), shadow.limit.ceiling().get()), (3, 9));
    assert_eq!((shadow.queue.depth, shadow.upstream), (7, loaded.settings.upstream));
    assert_eq!(Given::app().good().shadow, None);
    assert!(
        !Given::app().good().settings.dry_run && Given::app().set("dry_run=true").good().settings.dry_run
    );
}

#[test]
fn mistakes_in_a_shadow_have_places_in_its_file() {
    let path = file(
        "wrong.toml",
        "[priority]\nrules = [{ pth = \"/\", class = \"low\" }]\n[queue]\ntimeout = \"x\"\n",
    );
    let errors = load(&sources(&path)).unwrap_err().to_string();
    let shown = path.display();
    let expected = format!(
        "{shown}:2:12: priority.rules: unknown key `pth` in a rule; did you mean `path`?\n\
         {shown}:4:11: queue.timeout: \"x\" is not a duration (try \"5s\", \"500ms\", 5000)\n2 errors"
    );
    assert_eq!(errors, expected);
    let missing = load(&sources(Path::new("/nowhere.toml"))).unwrap_err().to_string();
    assert!(missing.starts_with("error: cannot read /nowhere.toml: "), "{missing}");
    let both = Given::app().set("dry_run=true").set("shadow=x.toml").errors();
    assert_eq!(
        both,
        "error: --set shadow: is one shadow too many: dry_run watches the settings of this configuration"
    );
    assert_eq!(
        Given::app().set("dry_run=yes").errors(),
        "error: --set dry_run: \"yes\" is not true or false"
    );
    assert_eq!(
        Given::app().toml("shadow = 3").errors(),
        "loadline.toml:1:10: shadow: 3 is not the path of a file or \"none\""
    );
}
