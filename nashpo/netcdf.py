"""Datasets as bytes of a netCDF 4 file.

Files are made in memory: HDF5 that runs into a full disk may take the whole process down later. It is also ten times
quicker than a netCDF library, which takes longer than many cells.
"""

import hashlib
import os

import h5py
import numpy as np
import xarray

_BARE = "This is a netCDF dimension but not a netCDF variable."
"""How netCDF 4 marks a dimension without coordinates."""


def netcdf_bytes(data: xarray.Dataset) -> bytes:
    """The file of a dataset of numbers and names, its coordinates as dimension scales; always the same bytes.

    >>> import tempfile, pathlib
    >>> data = xarray.Dataset({"gap": ("eta", [0.5, 0.25])}, {"eta": [0.1, 0.2]}, {"solver": "EGPO"})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "cell.nc")
    ...     _ = path.write_bytes(netcdf_bytes(data))
    ...     read_netcdf(path).identical(data), xarray.open_dataset(path, engine="h5netcdf").load().equals(data)
    (True, True)
    """
    with h5py.File("in memory", "w", driver="core", backing_store=False) as file:
        for name in sorted(map(str, data.coords)):
            _write(file, name, data[name].values).make_scale(name)
        for name in sorted(map(str, set(data.dims) - set(data.coords))):
            file.create_dataset(name, (data.sizes[name],), ">f4").make_scale(f"{_BARE}{data.sizes[name]:10d}")
        for name in sorted(map(str, data.data_vars)):
            values = _write(file, name, data[name].values)
            for axis, dim in enumerate(data[name].dims):
                values.dims[axis].attach_scale(file[str(dim)])
        file.attrs.update(sorted(data.attrs.items()))
        file.flush()
        return file.id.get_file_image()


def _write(file: h5py.File, name: str, values: np.ndarray) -> h5py.Dataset:
    values = _known(values)
    text = values.dtype.kind not in "fiub"
    return file.create_dataset(
        name, data=values.astype(object) if text else values, dtype=h5py.string_dtype() if text else None
    )


def _known(values: np.ndarray) -> np.ndarray:
    """Numbers that only JAX knows, of 16 bits (bfloat16) or less, in float32, which holds each of them."""
    return values.astype(np.float32) if values.dtype.kind == "V" else values


def read_netcdf(path: str | os.PathLike[str]) -> xarray.Dataset:
    """The numbers of a file that `netcdf_bytes` made; raises whatever HDF5 stumbles over."""
    with h5py.File(path) as file:
        coords = {name: values[...] for name, values in file.items() if values.is_scale and not _bare(values)}
        data = {
            name: (tuple(scales[0].name.lstrip("/") for scales in values.dims), values[...])
            for name, values in file.items()
            if not values.is_scale
        }
        return xarray.Dataset(data, coords, dict(file.attrs.items()))


def open_netcdf(path: str | os.PathLike[str]) -> xarray.Dataset:
    """What a result or a sweep saved, read by xarray, which knows older files too.

    Raises `ValueError` for a file that is not netCDF, `FileNotFoundError` where there is none.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".nc") as file:
    ...     open_netcdf(file.name)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: ...: cannot be read as netCDF; give what Result.save or Sweep.save wrote.
    """
    try:
        with xarray.open_dataset(path, engine="h5netcdf") as data:
            return data.load()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file.") from None
    except (OSError, ValueError, KeyError, RuntimeError):
        raise ValueError(f"{path}: cannot be read as netCDF; give what Result.save or Sweep.save wrote.") from None


def _bare(scale: h5py.Dataset) -> bool:
    return bytes(scale.attrs.get("NAME", b"")).decode().startswith(_BARE)


def checksum(data: xarray.Dataset) -> str:
    """Of every array and attribute, with names, types and shapes.

    >>> checksum(xarray.Dataset({"gap": 0.5})) == checksum(xarray.Dataset({"gap": 0.25}))
    False
    """
    total = hashlib.sha256(repr(sorted((name, str(value)) for name, value in data.attrs.items())).encode())
    for name in sorted(map(str, data.variables)):
        values = np.ascontiguousarray(_known(data[name].values))
        total.update(f"{name} {values.dtype.str} {data[name].dims} {values.shape}\0".encode() + values.tobytes())
    return total.hexdigest()
