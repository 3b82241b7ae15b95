// SPDX-License-Identifier: GPL-2.0

//! Prints every path of this project's migration state machine, in the words of `fsm.c`.

#[path = "../../../../drivers/vfio/migration/core"]
#[allow(dead_code, unused_imports)]
mod driver {
    pub(crate) mod protocol;
}

use driver::protocol::fsm::{
    next,
    Features,
    State, //
};

/// The states on the path, without the first.
fn path(features: Features, from: State, to: State) -> String {
    if from == to {
        // What a device does when it is asked for its own state is not for `next` to say.
        assert_eq!(next(features, from, to), None);
        let known = features.supports(from);
        return if known { " same" } else { " refused" }.to_owned();
    }
    let mut path = String::new();
    let mut state = from;
    while state != to {
        let Some(arc) = next(features, state, to) else {
            return path + " refused";
        };
        assert_eq!(arc.from(), state);
        state = arc.to();
        path = path + " " + state.name();
    }
    path
}

fn main() {
    for features in Features::ALL_SETS {
        for from in State::ALL {
            for to in State::ALL {
                println!(
                    "{} {} {} to {} {}:{}",
                    features.flags(),
                    from as u32,
                    from.name(),
                    to as u32,
                    to.name(),
                    path(features, from, to),
                );
            }
        }
    }
}
