//! Room on the workers that take executors.

use flame_types::{ClusterMs, NodeName, Resources, Shim, limits};

use crate::state::{Asker, Node, State, Trust};

/// A worker that takes executors.
#[derive(Clone, Debug)]
pub(super) struct Room<'s> {
    pub name: &'s NodeName,
    node: &'s Node,
    /// What is free now.
    pub free: Resources,
    /// What will be free once everything that is on its way out has left, less what is reserved of it.
    pub coming: Resources,
    /// Executors that may still be placed.
    pub places: usize,
    /// It is on trial with those whose executors failed, and has none of theirs that is still to enter its session.
    is_trial_free: bool,
}

/// Who asks for room, and for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'s> {
    pub asker: Asker<'s>,
    pub shim: Shim,
    pub resources: Resources,
}

impl Room<'_> {
    /// Whether it runs services of this kind.
    pub fn runs(&self, shim: Shim) -> bool {
        self.node.row.shims.contains(&shim)
    }
}

/// All workers that take executors, in order of their names.
#[derive(Clone, Debug)]
pub(super) struct Rooms<'s> {
    rooms: Vec<Room<'s>>,
    now: ClusterMs,
}

impl<'s> Rooms<'s> {
    pub fn of(state: &'s State) -> Self {
        let rooms = state.nodes.values().filter(|node| node.takes_executors()).map(|node| {
            let free = node.free();
            let places = limits::NODE_EXECUTORS_MAX.saturating_sub(node.executors.len());
            let is_trial_free = !state.has_probe(node);
            Room { name: &node.row.name, node, free, coming: free, places, is_trial_free }
        });
        let mut rooms = Self { rooms: rooms.collect(), now: state.now() };
        for key in &state.leaving {
            let row = &state.executors[key].row;
            if let Some(place) = rooms.find(&row.node) {
                rooms.comes_free(place, row.resources);
            }
        }
        rooms
    }

    /// What all of them can give when they are empty.
    pub fn capacity(&self) -> Resources {
        self.rooms.iter().fold(Resources::ZERO, |sum, room| sum.plus(room.node.row.capacity))
    }

    /// Executors of this size that fit when everything is empty.
    pub fn capacity_for(&self, shim: Shim, resources: Resources) -> u32 {
        let fits = |room: &Room<'_>| resources.count_in(room.node.row.capacity).min(limits::NODE_EXECUTORS_MAX as u64);
        let all: u64 = self.rooms.iter().filter(|room| room.runs(shim)).map(fits).sum();
        u32::try_from(all).unwrap_or(u32::MAX)
    }

    /// The place of a worker that takes executors.
    pub fn find(&self, name: &NodeName) -> Option<usize> {
        self.rooms.binary_search_by(|room| room.name.cmp(name)).ok()
    }

    pub fn name(&self, place: usize) -> &'s NodeName {
        self.rooms[place].name
    }

    /// The best worker for an executor that is to be started now: one where nothing failed lately, then the emptiest.
    /// What others have reserved of what is coming free is left alone.
    pub fn best_now(&self, wish: Wish<'_>) -> Option<usize> {
        let Wish { shim, resources, .. } = wish;
        let fits = |place: usize, room: &Room<'_>| {
            room.runs(shim)
                && room.places > 0
                && resources.fits(room.free)
                && resources.fits(room.coming)
                && self.admits(place, wish)
        };
        let rank = |room: &Room<'_>| (room.node.row.bind_failures, std::cmp::Reverse(resources.count_in(room.free)));
        let fitting = self.rooms.iter().enumerate().filter(|(place, room)| fits(*place, room));
        fitting.min_by_key(|(place, room)| (rank(room), *place)).map(|(place, _)| place)
    }

    /// A worker on which it will fit once everything on its way out has left.
    pub fn best_coming(&self, wish: Wish<'_>) -> Option<usize> {
        let fits = |room: &Room<'_>| room.runs(wish.shim) && wish.resources.fits(room.coming);
        let mut rooms = self.rooms.iter().enumerate();
        rooms.find(|(place, room)| fits(room) && !self.is_avoided(*place, wish)).map(|(place, _)| place)
    }

    /// Whether one more executor may be placed there now, or handed over, as far as earlier failures go.
    pub fn admits(&self, place: usize, wish: Wish<'_>) -> bool {
        match self.trust(place, wish) {
            Trust::Full => true,
            Trust::Trial => self.rooms[place].is_trial_free,
            Trust::Avoided => false,
        }
    }

    /// Whether it is of no use to somebody for the time being.
    pub fn is_avoided(&self, place: usize, wish: Wish<'_>) -> bool {
        self.trust(place, wish) == Trust::Avoided
    }

    /// An executor is placed or handed over: on a worker that is on trial the only one. (Only what is part of a gang is ever
    /// taken back, and of gangs there is no trial.)
    pub fn begin_trial(&mut self, place: usize, wish: Wish<'_>) {
        let is_on_trial = self.trust(place, wish) == Trust::Trial;
        self.rooms[place].is_trial_free &= !is_on_trial;
    }

    fn trust(&self, place: usize, wish: Wish<'_>) -> Trust {
        self.rooms[place].node.trust(wish.asker, self.now)
    }

    pub fn runs(&self, place: usize, shim: Shim) -> bool {
        self.rooms[place].runs(shim)
    }

    pub fn coming(&self, place: usize) -> Resources {
        self.rooms[place].coming
    }

    /// An executor is placed now.
    pub fn take_now(&mut self, place: usize, resources: Resources) {
        let room = &mut self.rooms[place];
        room.free = room.free.saturating_minus(resources);
        room.coming = room.coming.saturating_minus(resources);
        room.places = room.places.saturating_sub(1);
    }

    /// An executor that was placed by this plan is not placed after all.
    pub fn undo_now(&mut self, place: usize, resources: Resources) {
        let room = &mut self.rooms[place];
        room.free = room.free.plus(resources);
        room.coming = room.coming.plus(resources);
        room.places += 1;
    }

    /// Room that is coming free is kept for someone.
    pub fn reserve(&mut self, place: usize, resources: Resources) {
        let room = &mut self.rooms[place];
        room.coming = room.coming.saturating_minus(resources);
    }

    /// More will come free.
    pub fn comes_free(&mut self, place: usize, resources: Resources) {
        let room = &mut self.rooms[place];
        room.coming = room.coming.plus(resources);
    }
}
