//! RTP time to our clock: smooth where the camera's clock is, re-anchored where it jumps.
//!
//! A frame cannot have been taken after it arrived, so the earliest arrivals tell the offset between the two clocks and
//! network jitter does not reach the capture times. A camera's clock may drift, restart (a looped clip), or go on counting
//! through a pause; each of these is seen in how far arrivals lie from the expectation.

/// Microseconds by which a timestamp jumps to be a jump and not reordering (B-frames) or jitter.
const JUMP_US: i64 = 1_000_000;
/// How long arrivals must all be late before the lateness is taken for a new offset.
const LATE_FOR_US: i64 = 2_000_000;
/// Lateness that a stream may keep: below it, only drift is followed.
const LATE_US: i64 = 500_000;
/// Over how long the least lateness is measured to follow drift, and the most it is followed by: 500 ppm.
const DRIFT_WINDOW_US: i64 = 10_000_000;
const DRIFT_STEP_US: i64 = 5_000;

/// Where a frame lies on our clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// When it was taken, µs of our clock.
    pub captured_us: i64,
    /// How much later than that it arrived, µs.
    pub late_us: i64,
}

/// The mapping of one session.
#[derive(Debug, Default)]
pub struct Timeline {
    state: Option<State>,
}

#[derive(Debug)]
struct State {
    /// Capture time = stream time + offset, µs.
    offset: i64,
    newest_stream: i64,
    newest_captured: i64,
    /// Start and least lateness of the present windows.
    drift: (i64, i64),
    late: (i64, i64),
}

impl Timeline {
    /// Places a frame: `stream_us` by the camera's clock (any origin), `received_us` by ours.
    ///
    /// Capture times rise with stream times and never lie after the arrival, unless our own clock was set back.
    pub fn place(&mut self, stream_us: i64, received_us: i64) -> Mapped {
        let offset = received_us.saturating_sub(stream_us);
        let state = self.state.get_or_insert_with(|| State::anchored(offset, stream_us, received_us));
        let backwards = stream_us.saturating_add(JUMP_US) < state.newest_stream;
        let early = offset.saturating_add(JUMP_US) < state.offset;
        if backwards || early {
            let floor = state.newest_captured;
            *state = State::anchored(offset, stream_us, received_us);
            // Rising over the jump, but not when our clock itself was set back.
            if floor.saturating_sub(received_us) < 5 * JUMP_US {
                state.newest_captured = state.newest_captured.max(floor.saturating_add(1000));
            }
            return Mapped { captured_us: state.newest_captured, late_us: 0 };
        }
        state.offset = state.offset.min(offset);
        let lateness = offset.saturating_sub(state.offset);
        state.follow(lateness, received_us);
        let lateness = offset.saturating_sub(state.offset);

        let mut captured = stream_us.saturating_add(state.offset);
        if stream_us > state.newest_stream {
            captured = captured.max(state.newest_captured.saturating_add(1000));
            state.newest_stream = stream_us;
            state.newest_captured = captured;
        }
        Mapped { captured_us: captured, late_us: lateness }
    }
}

impl State {
    fn anchored(offset: i64, stream_us: i64, received_us: i64) -> Self {
        Self {
            offset,
            newest_stream: stream_us,
            newest_captured: received_us,
            drift: (received_us, i64::MAX),
            late: (received_us, i64::MAX),
        }
    }

    /// Moves the offset when every frame of a window was late: at once after a pause, slowly for drift.
    fn follow(&mut self, lateness: i64, received_us: i64) {
        self.late.1 = self.late.1.min(lateness);
        self.drift.1 = self.drift.1.min(lateness);
        if received_us.saturating_sub(self.late.0) >= LATE_FOR_US {
            if self.late.1 > LATE_US {
                self.offset = self.offset.saturating_add(self.late.1);
                self.drift = (received_us, i64::MAX);
            }
            self.late = (received_us, i64::MAX);
        }
        if received_us.saturating_sub(self.drift.0) >= DRIFT_WINDOW_US {
            if (1..=LATE_US).contains(&self.drift.1) {
                self.offset = self.offset.saturating_add(self.drift.1.min(DRIFT_STEP_US));
            }
            self.drift = (received_us, i64::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T0: i64 = 1_700_000_000_000_000;

    #[test]
    fn jitter_does_not_reach_the_capture_times() {
        let mut line = Timeline::default();
        line.place(0, T0);
        for i in 1..500 {
            let jitter = (i * 7919) % 30_000;
            let at = line.place(i * 40_000, T0 + i * 40_000 + jitter);
            assert_eq!(at.captured_us, T0 + i * 40_000);
            assert_eq!(at.late_us, jitter);
        }
    }

    #[test]
    fn drift_of_a_clock_is_followed() {
        let mut line = Timeline::default();
        let mut worst = 0;
        for i in 0..25 * 600 {
            // The camera's clock runs 100 ppm slow for ten minutes: 60 ms.
            let at = line.place(i * 40_000 - i * 4, T0 + i * 40_000);
            worst = worst.max(at.late_us);
        }
        assert!(worst < 5_000, "{worst}");
    }

    #[test]
    fn a_looped_clip_goes_on() {
        let mut line = Timeline::default();
        for i in 0..300 {
            let at = line.place(i % 100 * 40_000, T0 + i * 40_000);
            assert_eq!(at, Mapped { captured_us: T0 + i * 40_000, late_us: 0 });
        }
    }

    #[test]
    fn the_backlog_of_a_stall_keeps_its_times_and_is_late() {
        let mut line = Timeline::default();
        for i in 0..100 {
            line.place(i * 40_000, T0 + i * 40_000);
        }
        // Three seconds of frames arrive at once, 1 ms apart.
        let resumed = T0 + 175 * 40_000;
        for i in 100..175 {
            let at = line.place(i * 40_000, resumed + (i - 100) * 1000);
            assert_eq!(at.captured_us, T0 + i * 40_000);
        }
        assert!(line.place(175 * 40_000, resumed + 75_000).late_us < 100_000, "live again");
    }

    #[test]
    fn a_camera_that_counted_through_its_pause_is_live_again_within_seconds() {
        let mut line = Timeline::default();
        for i in 0..100 {
            line.place(i * 40_000, T0 + i * 40_000);
        }
        let mut last = Mapped { captured_us: 0, late_us: i64::MAX };
        for i in 100..200 {
            last = line.place(i * 40_000, T0 + i * 40_000 + 5_000_000);
        }
        assert_eq!(last.late_us, 0);
    }

    #[test]
    fn b_frames_keep_their_earlier_times() {
        let mut line = Timeline::default();
        let order = [0, 3, 1, 2, 6, 4, 5];
        let times: Vec<i64> = order
            .iter()
            .enumerate()
            .map(|(n, i)| line.place(i * 40_000, T0 + 120_000 + n as i64 * 40_000).captured_us)
            .collect();
        let later: Vec<i64> = times[1..].iter().map(|t| t - times[1]).collect();
        assert_eq!(later, [0, -80_000, -40_000, 120_000, 40_000, 80_000]);
    }

    proptest! {
        #[test]
        fn any_numbers_are_placed(frames in proptest::collection::vec((any::<i64>(), any::<i64>()), 0..60)) {
            let mut line = Timeline::default();
            for (stream, received) in frames {
                line.place(stream, received);
            }
        }

        #[test]
        fn a_capture_time_never_lies_after_the_arrival_by_more_than_the_least_step(
            jitters in proptest::collection::vec(0_i64..400_000, 1..200)
        ) {
            let mut line = Timeline::default();
            let mut last = i64::MIN;
            for (i, jitter) in jitters.iter().enumerate() {
                let stream = i as i64 * 40_000;
                // Arrivals keep their order.
                let received = (T0 + stream + jitter).max(last);
                last = received;
                let at = line.place(stream, received);
                prop_assert!(at.captured_us <= received + 1000 * jitters.len() as i64);
                prop_assert!(at.late_us >= 0);
            }
        }
    }
}
