//! Two disks, one of which fails, hangs or is unplugged.

use super::*;

/// Disks told apart by their directory: one may fail or hang.
#[derive(Default)]
struct TwoDisks {
    fails: std::sync::atomic::AtomicBool,
    hangs: Mutex<bool>,
    freed: std::sync::Condvar,
    bad: PathBuf,
}

impl TwoDisks {
    fn is_bad(&self, file: &File) -> bool {
        let path = fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file))).unwrap();
        path.starts_with(&self.bad)
    }

    fn hang(&self, on: bool) {
        *self.hangs.lock().unwrap() = on;
        self.freed.notify_all();
    }
}

impl Disk for TwoDisks {
    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        if self.is_bad(file) {
            let hangs = self.hangs.lock().unwrap();
            drop(self.freed.wait_while(hangs, |hangs| *hangs).unwrap());
            if self.fails.load(Ordering::Relaxed) {
                return Err(io::Error::other("I/O error"));
            }
        }
        file.write_all(bytes)
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(1 << 40)
    }
}

/// A recorder on two disks, `one` of which is the camera's home.
struct Pair {
    place: tempfile::TempDir,
    disk: Arc<TwoDisks>,
    recorder: Recorder,
    track: Track,
    config: Arc<StreamConfig>,
    next: u32,
}

impl Pair {
    fn open() -> Self {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().canonicalize().unwrap();
        let disk = Arc::new(TwoDisks { bad: root.join("one"), ..TwoDisks::default() });
        let recorder = Self::start(&root, &disk);
        let track = recorder.track(&key(), Keep::default()).unwrap();
        Self { place, disk, recorder, track, config: Arc::new(config()), next: 0 }
    }

    fn start(root: &Path, disk: &Arc<TwoDisks>) -> Recorder {
        let policy = Retention { days: 0, max_bytes: None, min_free_bytes: 0 };
        let (dirs, archive) = (vec![root.join("one"), root.join("two")], Some(root.join("data")));
        Recorder::start(dirs, archive, policy, disk.clone(), Arc::new(|_, _, _| {})).unwrap()
    }

    /// Records a second of pictures, key frame first.
    fn second(&mut self) {
        for i in self.next..self.next + 25 {
            self.track.record(&unit(&self.config, i, T0 + i64::from(i) * FRAME, i % 25 == 0));
        }
        self.next += 25;
    }

    /// Which of a span's pictures there are.
    async fn pictures(&self) -> Vec<u32> {
        let clip = self.recorder.clip(&key(), at(T0), at(T0 + i64::from(self.next) * FRAME)).await.unwrap();
        shown(&clip).0
    }

    async fn until(&self, what: &str, is: impl Fn(&[DiskStatus]) -> bool) {
        let began = Instant::now();
        while !is(&self.recorder.disks()) {
            assert!(began.elapsed() < Duration::from_secs(10), "not {what}: {:?}", self.recorder.disks());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn files(&self, disk: &str) -> usize {
        let days = fs::read_dir(self.place.path().join(disk).join(key().as_str())).into_iter().flatten().flatten();
        days.filter(|day| day.path().is_dir()).map(|day| fs::read_dir(day.path()).unwrap().count()).sum()
    }
}

#[tokio::test]
async fn a_disk_that_fails_is_told_and_its_cameras_go_to_the_other_until_it_is_back() {
    let mut pair = Pair::open();
    pair.second();
    pair.recorder.flush(&key(), false).await.unwrap();
    assert_eq!((pair.files("one"), pair.files("two")), (1, 0));
    pair.recorder.pin(&key(), at(T0), at(T0 + 9)).await.unwrap();

    pair.disk.fails.store(true, Ordering::Relaxed);
    pair.second();
    pair.until("failing", |disks| disks[0].code == "disk_failed" && disks[1].code.is_empty()).await;
    pair.second();
    pair.recorder.flush(&key(), false).await.unwrap();
    assert!(pair.track.recording() && pair.files("two") == 1, "recording goes on where it can");

    pair.disk.fails.store(false, Ordering::Relaxed);
    pair.until("well", |disks| disks.iter().all(|disk| disk.code.is_empty())).await;
    pair.second();
    pair.recorder.flush(&key(), false).await.unwrap();
    assert_eq!((pair.files("one"), pair.files("two")), (2, 1), "home again by itself");
    let pictures = pair.pictures().await;
    let kept: Vec<u32> = (0..25).chain(50..100).collect();
    assert!(kept.iter().all(|i| pictures.contains(i)), "one clip over both disks: {pictures:?}");

    // Another run finds all of it, and what is to be kept on either disk.
    pair.recorder.stop().await;
    let again = Pair::start(&pair.place.path().canonicalize().unwrap(), &pair.disk);
    again.know(&key()).unwrap();
    let clip = again.clip(&key(), at(T0), at(T0 + 100 * FRAME)).await.unwrap();
    assert_eq!(shown(&clip).0, pictures);
    for disk in ["one", "two"] {
        assert!(pair.place.path().join(disk).join(key().as_str()).join("pins").exists(), "{disk}");
    }
}

#[tokio::test]
async fn a_disk_that_hangs_is_told_within_ten_seconds_and_keeps_nobody() {
    let mut pair = Pair::open();
    pair.second();
    pair.recorder.flush(&key(), false).await.unwrap();
    pair.disk.hang(true);
    pair.second();
    let began = Instant::now();
    pair.until("slow", |disks| disks[0].code == "disk_slow").await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    pair.second();
    let asked = Instant::now();
    let pictures = pair.pictures().await;
    assert!(asked.elapsed() < Duration::from_secs(1), "a clip waits for no disk that hangs: {:?}", asked.elapsed());
    assert!((50..75).all(|i| pictures.contains(&i)), "{pictures:?}");
    assert!(pair.track.recording());
    pair.disk.hang(false);
    pair.until("well", |disks| disks[0].code.is_empty()).await;
    pair.second();
    pair.recorder.flush(&key(), false).await.unwrap();
    assert_eq!(pair.pictures().await, (0..100).collect::<Vec<_>>(), "what had waited was written, too");
    pair.recorder.stop().await;
}

#[tokio::test]
async fn an_unplugged_disk_is_told_and_the_one_below_its_mount_point_is_not_filled() {
    let mut pair = Pair::open();
    pair.second();
    pair.recorder.flush(&key(), false).await.unwrap();
    let (mounted, away) = (pair.place.path().join("one"), pair.place.path().join("away"));
    fs::rename(&mounted, &away).unwrap();
    fs::create_dir(&mounted).unwrap();
    // Its file is still open; a new one, after a gap, finds the disk gone.
    pair.next += 300;
    pair.second();
    pair.until("failing", |disks| disks[0].text.contains("is its disk mounted?")).await;
    pair.second();
    pair.recorder.flush(&key(), false).await.unwrap();
    assert_eq!(fs::read_dir(&mounted).unwrap().count(), 0);
    assert_eq!(pair.files("two"), 1);
    let pictures = pair.pictures().await;
    assert!((350..375).all(|i| pictures.contains(&i)) && !pictures.contains(&0), "{pictures:?}");
    fs::remove_dir(&mounted).unwrap();
    fs::rename(&away, &mounted).unwrap();
    pair.until("well", |disks| disks[0].code.is_empty()).await;
    pair.second();
    let pictures = pair.pictures().await;
    assert!([0, 24, 350, 399].iter().all(|i| pictures.contains(i)), "{pictures:?}");
    pair.recorder.stop().await;
}
