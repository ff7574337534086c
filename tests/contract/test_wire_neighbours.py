"""Our stubs and the official ones live in one process, imported in either order, and read each other's bytes."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("clarifai_grpc", reason="clarifai-grpc is not installed")

OURS = "from headrace.v2 import resources_pb2 as mine, service_pb2 as my_service, status_pb2 as my_status"
THEIRS = """
from clarifai_grpc.grpc.api import resources_pb2 as theirs, service_pb2 as their_service
from clarifai_grpc.grpc.api.status import status_pb2 as their_status
"""

FROM_OURS = """
request = my_service.PostModelOutputsRequest(
    user_app_id=mine.UserAppIDSet(user_id="me", app_id="main"),
    model_id="detector",
    inputs=[
        mine.Input(id="a", data=mine.Data(image=mine.Image(base64=b"\\x89PNG", hosted_image_info={
            "small": mine.ImageInfo(width=2)}))),
        mine.Input(id="b", data=mine.Data(embeddings=[mine.Embedding(vector=[0.5, 0.25])], float_value=1e300)),
    ],
    model=mine.Model(output_info=mine.OutputInfo(output_config=mine.OutputConfig(sample_ms=500))),
    runner_selector=mine.RunnerSelector(deployment=mine.Deployment(id="d", user_id="me")),
)
request.model.output_info.params["temperature"] = 0.5
wire = request.SerializeToString(deterministic=True)
read = their_service.PostModelOutputsRequest.FromString(wire)
assert read.inputs[0].data.image.hosted_image_info["small"].width == 2
assert list(read.inputs[1].data.embeddings[0].vector) == [0.5, 0.25]
assert read.inputs[1].data.float_value == 1e300
assert read.model.output_info.params["temperature"] == 0.5
assert read.SerializeToString(deterministic=True) == wire
assert my_service.PostModelOutputsRequest.FromString(read.SerializeToString()) == request
"""

UNKNOWN_FIELDS = """
request = their_service.PostModelOutputsRequest(model_id="detector")
request.model.visibility.gettable = theirs.Visibility.Gettable.PUBLIC
request.model.model_version.inference_compute_info.num_accelerators = 3
concept = request.inputs.add(id="a").data.concepts.add(id="cat", value=0.75)
concept.visibility.gettable = theirs.Visibility.Gettable.PUBLIC
request.inputs[0].data.hits.add(score=1).annotation.id = "n"
request.runner_selector.deployment.status = theirs.Deployment.Status.DISABLED
read = my_service.PostModelOutputsRequest.FromString(request.SerializeToString())
assert "visibility" not in read.model.DESCRIPTOR.fields_by_name
assert read.inputs[0].data.concepts[0].id == "cat"
read.inputs[0].data.concepts[0].value = 0.5
back = their_service.PostModelOutputsRequest.FromString(read.SerializeToString())
assert back != request
back.inputs[0].data.concepts[0].value = 0.75
assert back == request
"""

ERROR = """
status = my_status.Status(code=my_status.CONN_THROTTLED, details="slow down", req_id="r")
status.redirect_info.new_resource_id = "n"
response = my_service.MultiOutputResponse(status=status, outputs=[mine.Output(id="o", status=status)])
read = their_service.MultiOutputResponse.FromString(response.SerializeToString())
assert read.status == their_status.Status.FromString(status.SerializeToString())
assert read.outputs[0].status.code == 11005
assert read.outputs[0].status.redirect_info.new_resource_id == "n"
"""


@pytest.mark.parametrize("script", [FROM_OURS, UNKNOWN_FIELDS, ERROR], ids=["ours", "unknown_fields", "error"])
@pytest.mark.parametrize("imports", [(OURS, THEIRS), (THEIRS, OURS)], ids=["ours_first", "official_first"])
def test_stubs_share_a_process(imports: tuple[str, str], script: str) -> None:
    program = "\n".join([*imports, script, "print('done')"])
    run = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip(), run.stderr) == (0, "done", "")


def test_our_stubs_leave_the_official_names_free() -> None:
    program = f"""
{OURS}
from google.protobuf import descriptor_pool
files = [module.DESCRIPTOR for module in (mine, my_service, my_status)]
assert all(file.package == "headrace.v2" and file.name.startswith("headrace/v2/") for file in files)
try:
    descriptor_pool.Default().FindMessageTypeByName("clarifai.api.Data")
except KeyError:
    print("free")
"""
    run = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip(), run.stderr) == (0, "free", "")
