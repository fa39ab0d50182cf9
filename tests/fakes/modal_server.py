"""Modal on 127.0.0.1 for tests: the smallest server that the real client 1.6 works with. Its functions run in this process, one at a time.

    with LoopbackModal(folder, function) as server:      # function: what a call runs, with the call's arguments
        subprocess.run(["modal", "run", …], env=os.environ | server.environment())

It has apps, images that build at once, mounts, secrets by name, volumes of version 2, and functions with options and retries. A container's
volumes are folders of their own in ``server.mounts``: a try starts from what was last committed, and loses what it has not committed by its
end, as on a machine that dies. What Modal itself does beside this (placement, timeouts, preemption, limits) is not here.
"""

import asyncio
import hashlib
import os
import queue
import shutil
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from grpclib.server import Server
from modal._serialization import deserialize_data_format, serialize, serialize_data_format
from modal_proto import api_pb2 as api
from modal_proto.api_grpc import ModalClientBase

BLOCK = 8 * 2**20  # bytes of a file's block


def _handler(name: str) -> Any:
    """Answer a request by the method ``_<name>`` and log it; a list is a stream of answers."""

    async def handle(self: "LoopbackModal", stream: Any) -> None:
        request = await stream.recv_message()
        self.log.append((name, request))
        answer = getattr(self, f"_{name}", None)
        if answer is None:
            raise GRPCError(Status.UNIMPLEMENTED, name)
        replies = await answer(request)
        for reply in replies if isinstance(replies, list) else [replies]:
            await stream.send_message(reply)

    return handle


class LoopbackModal(type("Answering", (ModalClientBase,), {name: _handler(name) for name in ModalClientBase.__abstractmethods__})):  # type: ignore[misc]
    """The server, running between ``__enter__`` and ``__exit__``.

    Attributes:
        log: (method, request) of every request.
        tries: (arguments, error or None) of every try of a call.
        committed: how often each volume was committed.
    """

    def __init__(self, folder: Path, function: Callable[..., Any]) -> None:
        self.log: list[tuple[str, Any]] = []
        self.tries: list[tuple[tuple[Any, ...], str | None]] = []
        self.committed: dict[str, int] = defaultdict(int)
        self.mounts, self.durable, self._blocks = folder / "mounts", folder / "volumes", folder / "blocks"
        self._function = function
        self._apps: dict[str, str] = {}  # id by name, of those deployed
        self._stopped: set[str] = set()
        self._options: dict[str, Any] = {}  # a function's, or those that with_options gave, by id
        self._functions: dict[str, str] = {}  # id by app and name
        self._calls: dict[str, dict[int, Any]] = {}  # outputs of a call by their index; None while there is none
        self._policies: dict[str, Any] = {}
        self._inputs: queue.Queue[tuple[str, int, Any] | None] = queue.Queue()
        self._ready, self._end = threading.Event(), threading.Event()
        self._count = 0

    def __enter__(self) -> Self:
        for path in (self.durable, self._blocks):
            path.mkdir(parents=True, exist_ok=True)
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._serve, self._work)]
        for thread in self._threads:
            thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._end.set()
        self._inputs.put(None)
        for thread in self._threads:
            thread.join(30)

    def environment(self) -> dict[str, str]:
        """The environment of a process whose client talks to this server."""
        return {
            "MODAL_SERVER_URL": f"http://127.0.0.1:{self.port}",
            "MODAL_TOKEN_ID": "ak-loopback",
            "MODAL_TOKEN_SECRET": "as-loopback",
            "MODAL_CONFIG_PATH": str(self.durable / "none.toml"),
            "NO_PROXY": "127.0.0.1",
        }

    def requests(self, name: str) -> list[Any]:
        """The requests of one method so far."""
        return [request for method, request in self.log if method == name]

    # -- the server and the container

    def _serve(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        server = Server([self])
        await server.start("127.0.0.1", 0)
        self.port = server._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        files = web.Application(client_max_size=2 * BLOCK)
        files.router.add_put("/block", self._put_block)
        files.router.add_get("/file", self._get_block)
        runner = web.AppRunner(files)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._http = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
        self._ready.set()
        while not self._end.is_set():
            await asyncio.sleep(0.05)
        server.close()
        await runner.cleanup()

    def _work(self) -> None:
        while (item := self._inputs.get()) is not None:
            call, index, data = item
            args, kwargs = deserialize_data_format(data.args, data.data_format or api.DATA_FORMAT_PICKLE, None)
            policy = self._policies[call]
            for left in reversed(range(policy.retries + 1)):
                result = self._try(args, kwargs)
                if result.status == api.GenericResult.GENERIC_STATUS_SUCCESS or not left:
                    break
                time.sleep(policy.initial_delay_ms / 1000 * 0.01)  # a hundredth of the wait
            self._calls[call][index] = api.FunctionGetOutputsItem(
                idx=index, input_id=f"in-{call}-{index}", result=result, data_format=api.DATA_FORMAT_PICKLE
            )

    def _try(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        shutil.rmtree(self.mounts, ignore_errors=True)
        for volume, mount in self._mounted.items():
            _link_tree(self.durable / volume, self.mounts / mount)
        try:
            value = self._function(*args, **kwargs)
        except BaseException as error:
            self.tries.append((args, repr(error)))
            return api.GenericResult(
                status=api.GenericResult.GENERIC_STATUS_FAILURE,
                exception=repr(error), traceback=traceback.format_exc(), data=serialize(error),
            )  # fmt: skip
        self.tries.append((args, None))
        return api.GenericResult(status=api.GenericResult.GENERIC_STATUS_SUCCESS, data=serialize_data_format(value, api.DATA_FORMAT_PICKLE))

    def _id(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}-{self._count:06}"

    # -- the client's start

    async def _ClientHello(self, request: Any) -> Any:
        return api.ClientHelloResponse()

    async def _EnvironmentGetOrCreate(self, request: Any) -> Any:
        settings = api.EnvironmentSettings(image_builder_version="2025.06")
        return api.EnvironmentGetOrCreateResponse(
            environment_id="en-1", metadata=api.EnvironmentMetadata(name=request.deployment_name or "main", settings=settings)
        )

    # -- apps

    async def _AppCreate(self, request: Any) -> Any:
        return api.AppCreateResponse(app_id=self._id("ap"), app_page_url="http://127.0.0.1/app")

    async def _AppGetOrCreate(self, request: Any) -> Any:
        return api.AppGetOrCreateResponse(app_id=self._apps.setdefault(request.app_name, self._id("ap")))

    async def _AppGetByDeploymentName(self, request: Any) -> Any:
        return api.AppGetByDeploymentNameResponse(app_id=self._apps.get(request.name, ""))

    async def _AppPublish(self, request: Any) -> Any:
        self._apps[request.name] = request.app_id
        return api.AppPublishResponse(url="http://127.0.0.1/app")

    async def _AppHeartbeat(self, request: Any) -> Any:
        return Empty()

    async def _AppClientDisconnect(self, request: Any) -> Any:
        self._stopped.add(request.app_id)
        return Empty()

    async def _AppGetLogs(self, request: Any) -> Any:
        for _ in range(100):
            if request.app_id in self._stopped or self._end.is_set():
                return [api.TaskLogsBatch(app_done=True)]
            await asyncio.sleep(0.05)
        return []

    # -- what a function is made from

    async def _MountGetOrCreate(self, request: Any) -> Any:
        return api.MountGetOrCreateResponse(mount_id=self._id("mo"), handle_metadata=api.MountHandleMetadata())

    async def _MountBatchedCheckExistence(self, request: Any) -> Any:
        return api.MountBatchedCheckExistenceResponse()

    async def _MountPutFile(self, request: Any) -> Any:
        return api.MountPutFileResponse(exists=True)

    async def _ImageGetOrCreate(self, request: Any) -> Any:
        done = api.GenericResult(status=api.GenericResult.GENERIC_STATUS_SUCCESS)
        return api.ImageGetOrCreateResponse(image_id=self._id("im"), result=done)

    async def _SecretGetOrCreate(self, request: Any) -> Any:
        return api.SecretGetOrCreateResponse(secret_id=self._id("st"))

    async def _FunctionPrecreate(self, request: Any) -> Any:
        key = f"{request.app_id} {request.function_name}"
        return api.FunctionPrecreateResponse(function_id=self._functions.setdefault(key, self._id("fu")), handle_metadata=_handle())

    async def _FunctionCreate(self, request: Any) -> Any:
        function_id = request.existing_function_id or self._functions[f"{request.app_id} {request.function.function_name}"]
        self._options[function_id] = request.function
        self._mounted = {mount.volume_id.removeprefix("vo-"): Path(mount.mount_path).name for mount in request.function.volume_mounts}
        return api.FunctionCreateResponse(
            function_id=function_id, function=request.function, function_data=_data(request.function), handle_metadata=_handle()
        )

    async def _FunctionGet(self, request: Any) -> Any:
        key = f"{self._apps.get(request.app_name)} {request.object_tag}"
        if key not in self._functions:
            raise GRPCError(Status.NOT_FOUND, f"no function {request.object_tag} in app {request.app_name}")
        function_id = self._functions[key]
        return api.FunctionGetResponse(function_id=function_id, function=_data(self._options[function_id]), handle_metadata=_handle())

    async def _FunctionBindParams(self, request: Any) -> Any:
        bound = self._id("fu")
        self._options[bound] = request.function_options
        return api.FunctionBindParamsResponse(bound_function_id=bound, handle_metadata=_handle())

    # -- calls

    async def _FunctionMap(self, request: Any) -> Any:
        call = self._id("fc")
        self._calls[call], self._policies[call] = {}, self._options[request.function_id].retry_policy
        return api.FunctionMapResponse(
            function_call_id=call, retry_policy=self._policies[call], pipelined_inputs=self._take(call, request.pipelined_inputs),
            max_inputs_outstanding=1000,
        )  # fmt: skip

    async def _FunctionPutInputs(self, request: Any) -> Any:
        return api.FunctionPutInputsResponse(inputs=self._take(request.function_call_id, request.inputs))

    def _take(self, call: str, items: Any) -> list[Any]:
        for item in items:
            self._calls[call][item.idx] = None
            self._inputs.put((call, item.idx, item.input))
        return [
            api.FunctionPutInputsResponseItem(idx=item.idx, input_id=f"in-{call}-{item.idx}", input_jwt=f"jwt-{item.idx}") for item in items
        ]

    async def _FunctionCallFromId(self, request: Any) -> Any:
        return api.FunctionCallFromIdResponse(
            function_call_id=request.function_call_id, num_inputs=len(self._calls[request.function_call_id])
        )

    async def _FunctionGetOutputs(self, request: Any) -> Any:
        if request.function_call_id not in self._calls:
            raise GRPCError(Status.NOT_FOUND, f"no call {request.function_call_id}")
        outputs = self._calls[request.function_call_id]
        seen = int(request.last_entry_id.partition("-")[0] or 0)  # how many outputs the client has: they never come back
        end = time.monotonic() + request.timeout
        while True:
            done = [output for output in outputs.values() if output is not None]
            if request.HasField("start_idx"):
                done = [output for output in done if request.start_idx <= output.idx <= request.end_idx]
            new = sorted(done, key=lambda output: output.output_created_at)[seen:]
            if new or time.monotonic() >= end or self._end.is_set():
                unfinished = sum(output is None for output in outputs.values())
                return api.FunctionGetOutputsResponse(outputs=new, last_entry_id=f"{seen + len(new)}-0", num_unfinished_inputs=unfinished)
            await asyncio.sleep(0.02)

    async def _FunctionCallCancel(self, request: Any) -> Any:
        return Empty()

    # -- volumes

    async def _VolumeGetOrCreate(self, request: Any) -> Any:
        name = request.deployment_name
        if request.object_creation_type != api.OBJECT_CREATION_TYPE_CREATE_IF_MISSING and not (self.durable / name).is_dir():
            raise GRPCError(Status.NOT_FOUND, f"no volume {name}")
        (self.durable / name).mkdir(exist_ok=True)
        return api.VolumeGetOrCreateResponse(
            volume_id=f"vo-{name}", version=request.version, metadata=api.VolumeMetadata(name=name, version=request.version)
        )

    def _place(self, request: Any, path: str = "") -> Path:
        return self.durable / request.volume_id.removeprefix("vo-") / path.lstrip("/")

    async def _VolumeReload(self, request: Any) -> Any:
        return Empty()

    async def _VolumeCommit(self, request: Any) -> Any:
        name = request.volume_id.removeprefix("vo-")
        new = self.durable.with_name("committing")
        _link_tree(self.mounts / self._mounted[name], new)
        shutil.rmtree(self.durable / name)
        new.rename(self.durable / name)
        self.committed[name] += 1
        return api.VolumeCommitResponse()

    async def _VolumePutFiles2(self, request: Any) -> Any:
        missing = [
            api.VolumePutFiles2Response.MissingBlock(file_index=number, block_index=index, put_url=f"{self._http}/block")
            for number, file in enumerate(request.files)
            for index, block in enumerate(file.blocks)
            if not (self._blocks / block.contents_sha256.hex()).exists()
        ]
        if missing:
            return api.VolumePutFiles2Response(missing_blocks=missing)
        for file in request.files:
            target = self._place(request, file.path)
            if target.exists() and request.disallow_overwrite_existing_files:
                raise GRPCError(Status.ALREADY_EXISTS, file.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(b"".join((self._blocks / block.contents_sha256.hex()).read_bytes() for block in file.blocks))
        return api.VolumePutFiles2Response()

    async def _VolumeListFiles2(self, request: Any) -> Any:
        folder = self._place(request, request.path)
        if not folder.exists():
            raise GRPCError(Status.NOT_FOUND, request.path)
        found = sorted(folder.rglob("*") if request.recursive else folder.iterdir())
        root = self._place(request)
        entries = [
            api.FileEntry(
                path=path.relative_to(root).as_posix(), type=api.FileEntry.DIRECTORY if path.is_dir() else api.FileEntry.FILE,
                size=path.stat().st_size,
            )
            for path in found
        ]  # fmt: skip
        return [api.VolumeListFiles2Response(entries=entries)]

    async def _VolumeGetFile2(self, request: Any) -> Any:
        path = self._place(request, request.path)
        if not path.is_file():
            raise GRPCError(Status.NOT_FOUND, request.path)
        size = path.stat().st_size
        urls = [f"{self._http}/file?path={path}&block={index}" for index in range(-(-size // BLOCK))]
        return api.VolumeGetFile2Response(get_urls=urls, size=size, start=0, len=size)

    async def _put_block(self, request: web.Request) -> web.Response:
        content = await request.read()
        (self._blocks / hashlib.sha256(content).hexdigest()).write_bytes(content)
        return web.Response(body=b"put")

    async def _get_block(self, request: web.Request) -> web.Response:
        with Path(request.query["path"]).open("rb") as file:
            file.seek(int(request.query["block"]) * BLOCK)
            return web.Response(body=file.read(BLOCK))


def _handle() -> Any:
    return api.FunctionHandleMetadata(function_name="train", function_type=api.Function.FUNCTION_TYPE_FUNCTION)


def _data(function: Any) -> Any:
    return api.FunctionData(ranked_functions=[api.FunctionData.RankedFunction(function=function)])


def _link_tree(source: Path, target: Path) -> None:
    """Copy a folder by links; a file that is removed meanwhile is left out."""
    target.mkdir(parents=True, exist_ok=True)
    for folder, _, files in os.walk(source):
        below = target / Path(folder).relative_to(source)
        below.mkdir(exist_ok=True)
        for name in files:
            with suppress(FileNotFoundError):
                os.link(Path(folder) / name, below / name)
