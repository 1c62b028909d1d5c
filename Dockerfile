# One image for every validator. `docker-compose up` builds it; by hand: docker build -t shared-sequencer .

FROM python:3.11-slim-bookworm AS build
# libp2p needs fastecdsa, which comes as C source only; compilers stay in this stage.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc g++ libc6-dev libgmp-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/sequencer
ENV PATH=/opt/sequencer/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /src
# Anvil, the development L1, comes from npm, which PyPI has; its hash is pinned. Nothing else is needed of the project.
COPY sequencer/__init__.py sequencer/
COPY sequencer/l1dev sequencer/l1dev
RUN python -m sequencer.l1dev install
# The locked packages next, since they change seldom: every file is checked against its hash before it is built or used.
COPY requirements.lock ./
RUN pip wheel --quiet --use-pep517 --require-hashes --wheel-dir /wheels --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY consensus consensus
COPY p2p p2p
COPY storage storage
COPY sequencer sequencer
# From here on without an index: the project is built with the locked hatchling, and of the locked packages only those
# that it needs itself are installed, not those for development.
RUN pip wheel --quiet --no-index --find-links /wheels --no-deps --wheel-dir /wheels . \
    && pip install --quiet --no-index --find-links /wheels shared-sequencer

FROM python:3.11-slim-bookworm
# Open to other users, since a container may run as the owner of a home that lies outside; each home in it is private.
RUN groupadd --gid 1000 sequencer \
    && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /var/lib/sequencer sequencer \
    && install --directory --owner 1000 --group 1000 --mode 0755 /var/lib/sequencer
COPY --from=build /opt/sequencer /opt/sequencer
ENV PATH=/opt/sequencer/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 1000:1000
WORKDIR /var/lib/sequencer
# A shared library that this stage lacks ends the build here and not a validator, or the L1, later.
RUN python -c "import sequencer.node.node" \
    && "$(python -m sequencer.l1dev install)" --version
# peers, JSON-RPC, metrics, JSON-RPC of a development L1
EXPOSE 9000 8645 9464 8545
ENTRYPOINT ["sequencer"]
CMD ["--help"]
