//! Sealock cluster: plans and drives many machines: spec, inventory, plan, execute, apps.
