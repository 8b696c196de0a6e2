from penstock.jobs.ray_plan import PlannedReplica


def test_a_replica_asks_ray_for_what_its_machine_has() -> None:
    def asked(*, gpus: int = 0, tpus: int = 0) -> dict[str, int]:
        return PlannedReplica(role="master", index=0, machine_type="m", cpus=4, gpus=gpus, tpus=tpus).resources

    assert asked() == {"CPU": 4}
    assert asked(gpus=2) == {"CPU": 4, "GPU": 2}
    assert asked(tpus=8) == {"CPU": 4, "TPU": 8}
