//! Throws points into a square and counts those inside the circle. A worker starts this program.

use flame_example_pi::{Hits, Throw};
use flame_sdk::{FlameError, FlameInstance};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Points between two looks at whether anybody still wants them.
const POINTS_AT_A_TIME: u64 = 100_000;

#[flame_sdk::entrypoint]
async fn throw(instance: FlameInstance, order: Throw) -> Result<Hits, FlameError> {
    let mut random = StdRng::seed_from_u64(order.seed);
    let mut inside = 0;
    for at in 0..order.points {
        if at % POINTS_AT_A_TIME == 0 && instance.cancellation().is_cancelled() {
            return Err(FlameError::Internal("cancelled".to_owned()));
        }
        let (x, y): (f64, f64) = random.random();
        inside += u64::from(x * x + y * y <= 1.0);
    }
    Ok(Hits { inside })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), FlameError> {
    flame_sdk::run(throw).await
}
