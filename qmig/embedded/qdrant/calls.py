"""Handle gRPC calls: refusals become statuses, and calls that are not served UNIMPLEMENTED."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from qmig.embedded.qdrant.refusals import Refusal, from_conversion, require_served, unserved

Handler = Callable[[Any], Message]


def serves(*fields: str) -> Callable[[Callable[[Any, Any], Message]], Callable[[Any, Any], Message]]:
    """Refuse requests that set other fields than these; the handler's name is that of the call.

    `timeout`, `ordering` and `read_consistency` have no meaning in one process and are always accepted.
    """

    def mark(method: Callable[[Any, Any], Message]) -> Callable[[Any, Any], Message]:
        def handler(service: Any, request: Message) -> Message:
            require_served(request, method.__name__, *fields, "timeout", "ordering", "read_consistency")
            return method(service, request)

        return handler

    return mark


def service_handler(descriptor: ServiceDescriptor, service: object | None) -> grpc.GenericRpcHandler:
    """Make the handlers of a service: the methods of `service`, and a refusal for all other calls."""
    handlers = {}
    for method in descriptor.methods:
        handler: Handler = getattr(service, method.name, None) or refuse(f"the call {method.name}")
        handlers[method.name] = grpc.unary_unary_rpc_method_handler(
            answer(handler),
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
    return grpc.method_handlers_generic_handler(descriptor.full_name, handlers)


def refuse(what: str) -> Handler:
    def handler(_: Message) -> Message:
        raise unserved(what)

    return handler


def answer(handler: Handler) -> Callable[[Any, grpc.ServicerContext], Any]:
    def call(request: Any, context: grpc.ServicerContext) -> Any:
        started = time.perf_counter()
        try:
            response: Any = handler(request)
        except Refusal as refusal:
            context.abort(refusal.code, refusal.text)
        except ValueError as error:
            converted = from_conversion(error)
            context.abort(converted.code, converted.text)
        except Exception as error:  # noqa: BLE001
            traceback.print_exc(file=sys.stderr)
            context.abort(grpc.StatusCode.INTERNAL, f"Service internal error: {error}")
        if "time" in response.DESCRIPTOR.fields_by_name:
            response.time = time.perf_counter() - started
        return response

    return call
