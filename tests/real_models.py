"""Models that their own libraries make and run, each in a process of its own, and archives of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.helpers import run_python

_SAVED_MODEL = """
import sys, tensorflow as tf
class Doubler(tf.Module):
    def __init__(self):
        self.factor = tf.Variable(2.0)
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def __call__(self, x):
        return self.factor * x
tf.saved_model.save(Doubler(), sys.argv[1])
"""
_RUN_SAVED_MODEL = """
import pathlib, sys, tensorflow as tf
import hf_model_signing as hms
model, policy, guarded = sys.argv[1:]
def run(folder):
    return tf.saved_model.load(folder)(tf.constant([1.0, 21.0])).numpy().tolist()
results = [run(model)]
with hms.guard(policy):
    results.append(run(guarded))
    pathlib.Path(guarded, "more").write_text("x")
try:
    with hms.guard(policy):
        run(guarded)
except hms.MismatchError:
    results.append("refused")
print("RESULT", *results)
"""
_ONNX = """
import sys, numpy, onnx
from onnx import TensorProto, helper, numpy_helper
weights = numpy_helper.from_array(numpy.full(1024, 2.0, dtype=numpy.float32), "w")
shape = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1024]) for name in ("x", "y")]
graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "double", shape[:1], shape[1:], [weights])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
onnx.checker.check_model(model)
external = dict(save_as_external_data=True, location=sys.argv[2], size_threshold=0) if sys.argv[2] else {}
onnx.save_model(model, sys.argv[1], **external)
"""
_RUN_ONNX = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
print("RESULT", session.run(None, {"x": numpy.full(1024, 21.0, dtype=numpy.float32)})[0][:2].tolist())
"""


def saved_model(folder: Path) -> Path:
    """Make a TensorFlow SavedModel that doubles its input."""
    _run(_SAVED_MODEL, folder)
    return folder


def run_saved_model(folder: str, policy: Path, guarded: Path) -> str:
    """Return its results for 1 and 21, and those of a model that `policy` names, before and after it is changed."""
    return _run(_RUN_SAVED_MODEL, folder, policy, guarded)


def onnx_model(path: Path, data: str = "") -> Path:
    """Make an ONNX model that doubles its input; its weights are in the file `data` beside it, if one is named."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _run(_ONNX, path, data)
    return path


def run_onnx(path: str) -> str:
    """Return its result for 21, twice."""
    return _run(_RUN_ONNX, path)


def repository(folder: Path) -> Path:
    """Make a git repository with nested directories, dotfiles, a program, and git's own files."""
    files = {
        "hubconf.py": "dependencies = ['torch']\n\n\ndef double(x):\n    return 2 * x\n",
        "lib/deep/er/net.py": "LAYERS = 2\n",
        "weights/w.bin": "w" * 5000,
        ".style": "dotfile\n",
        "lib/.hidden/x": "x\n",
        ".gitignore": "*.pyc\n",
        ".github/workflows/ci.yml": "on: push\n",
        "tools/run.sh": "#!/bin/sh\necho 42\n",
        "empty.txt": "",
        "Ünï.txt": "text\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "tools" / "run.sh").chmod(0o755)
    who = ("-c", "user.name=A", "-c", "user.email=a@acme.example", "-c", "commit.gpgsign=false")
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], [*who, "commit", "-q", "-m", "A model"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def git_archive(folder: Path, top: str) -> bytes:
    """Return the zip that GitHub makes of the head of a repository."""
    command = ["git", "archive", "--format=zip", f"--prefix={top}/", "HEAD"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout


def head(folder: Path) -> str:
    """Return the commit of the head of a repository."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def tarball(folder: Path) -> bytes:
    """Return the archive that `tar` makes of a directory, as TensorFlow Hub serves it."""
    return subprocess.run(["tar", "-czf", "-", "-C", str(folder), "."], check=True, capture_output=True).stdout


def _run(code: str, *arguments: str | Path) -> str:
    done = run_python(code, *arguments)
    assert done.returncode == 0, done.stderr
    return next((line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")), "")
