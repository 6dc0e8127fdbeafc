//! Missing and damaged objects of caches, and copies.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{
    definition::CacheDefinition,
    fixture::{CacheFixture, DB, check, csv},
};
use crate::harness::{NeapProcess, StoreFixture, neap};

fn caches() -> [CacheDefinition; 2] {
    [
        CacheDefinition::last("m", "latest", &["host"]).limited_to(2),
        CacheDefinition::distinct("m", "rooms", &["room"]),
    ]
}

fn stage() -> CacheFixture {
    let stage = CacheFixture::on_a_directory();
    stage.write(
        "m,host=a,room=x v=1 -60
         m,host=a,room=y v=2,w=2 -50
         m,host=b,room=x v=3 -40",
    );
    stage.create(&caches());
    stage.flush();
    stage
}

/// Returns the files of the objects of caches.
fn objects(store: &Path) -> Vec<PathBuf> {
    let caches = fs::read_dir(store.join("cache/1")).unwrap();
    let objects = caches.flat_map(|cache| fs::read_dir(cache.unwrap().path()).unwrap());
    let mut paths: Vec<_> = objects.map(|object| object.unwrap().path()).collect();
    paths.sort();
    paths
}

fn truncate(path: &PathBuf) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn flip(path: &PathBuf) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// A way to damage an object: its name, the damage, and the message that reports it.
type DamageCase = (&'static str, fn(&PathBuf), &'static str);

const DAMAGES: [DamageCase; 3] = [
    ("missing", |path| fs::remove_file(path).unwrap(), "it is missing"),
    ("truncated", |path| truncate(path), "bytes"),
    ("flipped bit", |path| flip(path), "checksum"),
];

#[test]
fn a_damaged_object_is_found_and_answers_stay_correct() {
    let caches = caches();
    for (name, damage, said) in DAMAGES {
        let stage = stage();
        stage.on_store(&["fsck", "--full"]).succeeded();
        let paths = objects(stage.place.folder());
        assert_eq!(paths.len(), 2, "{paths:?}");
        paths.iter().for_each(damage);
        stage.check(&caches, name);

        let report = stage.on_store(&["fsck", "--full", "--json"]);
        assert_eq!(report.err, "", "{name}");
        for path in &paths {
            let key = path.strip_prefix(stage.place.folder()).unwrap().to_str().unwrap();
            assert!(report.out.contains(key), "{name}: {}", report.out);
        }
        assert!(report.out.contains(said), "{name}: {}", report.out);

        stage.on_store(&["fsck", "--full", "--repair"]);
        stage.check(&caches, "repaired");
        // A compaction creates them again.
        stage.on_store(&["compact"]).succeeded();
        stage.on_store(&["fsck", "--full"]).succeeded();
        let fresh = stage.fresh();
        for cache in &caches {
            csv(&fresh, &cache.query());
        }
        assert_eq!(fresh.store_requests().of("get cache"), 2, "{name}");
        assert_eq!(fresh.store_requests().of("get data"), 0, "{name}");
        stage.check(&caches, "made again");
    }
}

#[test]
fn a_flush_continues_despite_a_damaged_object() {
    let (stage, caches) = (stage(), caches());
    objects(stage.place.folder()).iter().for_each(truncate);
    stage.write("m,host=c,room=z v=4 -30\nm,host=a,room=y v=5 -50");
    stage.flush();
    stage.check(&caches, "flushed");
    stage.on_store(&["compact"]).succeeded();
    stage.on_store(&["fsck", "--full"]).succeeded();
    let fresh = stage.fresh();
    for cache in &caches {
        check(&fresh, cache, "made again");
    }
    assert_eq!(fresh.store_requests().of("get cache"), 2);
}

#[test]
fn a_copy_answers_from_its_own_objects() {
    let (stage, caches) = (stage(), caches());
    stage.write("m,host=c,room=z v=4 -30");
    let folder = TempDir::new().unwrap();
    let copy_path = folder.path().join("copy");
    let to = copy_path.to_str().unwrap();
    stage.on_store(&["copy", "--to", to]).succeeded();
    let shown = caches.each_ref().map(|cache| check(&stage.writer, cache, "original"));
    // The copy does not depend on the original.
    drop(stage);
    let flags = ["--object-store", "file", "--data-dir", to];
    neap(&[&["fsck", "--full"], &flags[..]].concat()).succeeded();
    assert_eq!(objects(Path::new(to)).len(), 2);
    let copy = NeapProcess::serve_with(&StoreFixture::at(to), &["--mode", "query"]);
    let of_copy = caches.each_ref().map(|cache| csv(&copy, &cache.query()));
    assert_eq!(of_copy, shown);
    let requests = copy.store_requests();
    assert_eq!((requests.of("get cache"), requests.of("get data")), (2, 0));
    for cache in &caches {
        check(&copy, cache, "copy");
    }
    drop(copy);
    let both = NeapProcess::serve(&StoreFixture::at(to));
    both.write(DB, "m,host=d,room=new v=6");
    for cache in &caches {
        assert_ne!(check(&both, cache, "written to"), shown[0]);
    }
}
