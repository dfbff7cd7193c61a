//! The deliberately broken engines: whether their patches still fit the sources. `./dev mutants` builds and runs those of `tests/sim/mutants`,
//! `./dev fire --mutant` those of `tests/fire/mutants`.

use std::fs;
use std::path::Path;

/// What is wrong with the patches.
pub(crate) fn faults() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let in_folder = |folder: &str| fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let patches: Vec<_> = ["tests/sim/mutants", "tests/fire/mutants"].into_iter().flat_map(in_folder).collect();
    let patches: Vec<_> = patches.iter().filter(|path| path.extension().is_some_and(|extension| extension == "patch")).collect();
    let mut faults: Vec<String> = patches.iter().filter_map(|patch| fault(root, patch)).collect();
    if patches.len() < 15 {
        faults.push(format!("there are {} mutants, fifteen at least are wanted", patches.len()));
    }
    faults
}

/// The first change of a patch whose surroundings are not in its file any more.
fn fault(root: &Path, patch: &Path) -> Option<String> {
    let text = fs::read_to_string(patch).unwrap();
    let mut source = String::new();
    let mut wanted = String::new();
    let mut changes = 0;
    for line in text.lines().skip_while(|line| !line.starts_with("--- ")).chain(["@@"]) {
        if let Some(path) = line.strip_prefix("+++ b/") {
            source = fs::read_to_string(root.join(path)).unwrap();
        } else if line.starts_with("@@") || line.starts_with("--- ") {
            if !source.contains(&wanted) {
                return Some(format!("{} does not fit any more; this is not in the sources:\n{wanted}", patch.display()));
            }
            changes += usize::from(!wanted.is_empty());
            wanted.clear();
        } else if let Some(kept) = line.strip_prefix([' ', '-']) {
            wanted.push_str(kept);
            wanted.push('\n');
        }
    }
    (changes == 0).then(|| format!("{} changes nothing", patch.display()))
}
