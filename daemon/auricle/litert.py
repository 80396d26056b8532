"""The one place that chooses the TFLite runtime: LiteRT, or its ancestor tflite-runtime on boards without a wheel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from auricle.errors import ModelError


def _interpreter() -> Callable[..., Any]:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError:
            raise ModelError(
                "no TFLite runtime is installed; pip install ai-edge-litert, or auricle[tflite] where it has no wheel"
            ) from None
    return Interpreter  # type: ignore[no-any-return]


def load(content: bytes) -> Any:
    """An interpreter on one thread (more would cost wake-ups, and sources already share the core).

    Raises:
        ModelError: no runtime is installed, or the content is no model that it understands.
    """
    interpreter = _interpreter()
    try:
        return interpreter(model_content=content, num_threads=1)
    except (ValueError, RuntimeError) as e:
        raise ModelError(f"not a TFLite model that can be run ({str(e).splitlines()[0] if str(e) else e!r})") from None
