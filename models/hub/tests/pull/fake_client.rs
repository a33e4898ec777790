//! A package client: a shell script that hands out wheels from a folder, and those wheels.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::world::{PART, World, content};

pub(crate) struct FakeClient {
    folder: PathBuf,
}

impl FakeClient {
    /// A client that has the four wheels of `tiny`, and `before` run at the start of each download
    /// with `$last` the requirement and `$dest` the destination.
    pub(crate) fn with(world: &mut World, before: &str) -> Self {
        let folder = world.folder.path().join("client");
        fs::create_dir_all(&folder).unwrap();
        let client = Self { folder };
        for (n, piece) in content().chunks(PART).enumerate() {
            let n = n + 1;
            client.put_wheel(&format!("tiny-part{n}==1.0"), &[(&format!("tiny_part{n}/data.bin"), piece)]);
        }
        world.settings.clients.push(client.command("pip", before));
        client
    }

    /// One more client over the same wheels.
    pub(crate) fn command(&self, name: &str, before: &str) -> Vec<String> {
        let script = self.folder.join(name);
        let wheels = self.folder.display();
        let text = format!(
            "if [ \"$1\" = --version ]; then echo \"{name} 1.0\"; exit 0; fi\n\
             echo \"{name} $*\" >> '{wheels}/log'\n\
             while [ $# -gt 1 ]; do [ \"$1\" = --dest ] && dest=\"$2\"; shift; done\n\
             last=\"$1\"\n{before}\ncp '{wheels}'/\"$last\".whl \"$dest\"/\n"
        );
        fs::write(&script, text).unwrap();
        vec!["sh".to_owned(), script.display().to_string()]
    }

    pub(crate) fn put_wheel(&self, requirement: &str, members: &[(&str, &[u8])]) {
        write_wheel(&self.folder.join(format!("{requirement}.whl")), members);
    }

    /// What was asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        log.lines().filter_map(|line| line.rsplit(' ').next()).map(str::to_owned).collect()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

fn write_wheel(path: &Path, members: &[(&str, &[u8])]) {
    let mut wheel = ZipWriter::new(File::create(path).unwrap());
    for (name, bytes) in members {
        wheel.start_file(*name, SimpleFileOptions::default()).unwrap();
        wheel.write_all(bytes).unwrap();
    }
    wheel.finish().unwrap();
}
