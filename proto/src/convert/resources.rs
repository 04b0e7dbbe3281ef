//! Amounts of processors, memory and graphics processors.

use flame_types::Resources;

use crate::{Invalid, v1};

impl TryFrom<v1::ResourceRequirement> for Resources {
    type Error = Invalid;

    fn try_from(wire: v1::ResourceRequirement) -> Result<Self, Invalid> {
        let gpu =
            u32::try_from(wire.gpu).map_err(|_| Invalid::Negative { field: "resreq.gpu", got: i64::from(wire.gpu) })?;
        Ok(Self { cpu: wire.cpu, memory: wire.memory, gpu })
    }
}

impl From<Resources> for v1::ResourceRequirement {
    /// More than two thousand million graphics processors are shown as that many: the field cannot say more.
    fn from(resources: Resources) -> Self {
        Self { cpu: resources.cpu, memory: resources.memory, gpu: i32::try_from(resources.gpu).unwrap_or(i32::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_amount_survives_alone() {
        for wire in [
            v1::ResourceRequirement { cpu: u64::MAX, memory: 0, gpu: 0 },
            v1::ResourceRequirement { cpu: 0, memory: u64::MAX, gpu: 0 },
            v1::ResourceRequirement { cpu: 0, memory: 0, gpu: i32::MAX },
        ] {
            let resources = Resources::try_from(wire).unwrap();
            assert_eq!(v1::ResourceRequirement::from(resources), wire);
        }
    }

    #[test]
    fn negative_graphics_processors_are_refused_by_name() {
        let wire = v1::ResourceRequirement { cpu: 1, memory: 1, gpu: -1 };
        assert_eq!(Resources::try_from(wire).unwrap_err().to_string(), "resreq.gpu must not be negative (got -1)");
    }
}
