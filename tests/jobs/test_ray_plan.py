import pytest

from penstock.errors import PreconditionError
from penstock.jobs.ray_plan import FIXED_CLUSTER, PlannedReplica, check_fixed


def test_a_replica_asks_ray_for_what_its_machine_has() -> None:
    def asked(*, gpus: int = 0, tpus: int = 0) -> dict[str, int]:
        return PlannedReplica(role="master", index=0, machine_type="m", cpus=4, gpus=gpus, tpus=tpus).resources

    assert asked() == {"CPU": 4}
    assert asked(gpus=2) == {"CPU": 4, "GPU": 2}
    assert asked(tpus=8) == {"CPU": 4, "TPU": 8}


def test_what_a_fixed_cluster_lacks_is_refused_and_what_an_autoscaler_may_bring_is_not() -> None:
    lab = [PlannedReplica(role="master", index=0, machine_type="complex_model_m_gpu", cpus=16, gpus=4)]
    lab.append(PlannedReplica(role="worker", index=0, machine_type="complex_model_m_gpu", cpus=16, gpus=4))
    with pytest.raises(
        PreconditionError, match="asks for 8 GPUs and this cluster has 0 GPUs; use a smaller scale tier"
    ):
        check_fixed(lab, {"CPU": 64.0, FIXED_CLUSTER: 1.0})
    check_fixed(lab, {"CPU": 4.0})
    check_fixed(lab, {"CPU": 32.0, "GPU": 8.0, FIXED_CLUSTER: 1.0})
