# One image for every validator. Build: docker build --network host -t shared-sequencer .

FROM python:3.11-slim-bookworm AS build
# libp2p needs fastecdsa, which has no wheel in the locked version and is compiled here.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev libgmp-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/sequencer
ENV PATH=/opt/sequencer/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /src
# The packages first, in the locked versions and without those for development: they change seldom.
COPY pyproject.toml requirements.lock ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > dependencies.txt \
    && pip install --quiet --requirement dependencies.txt --constraint requirements.lock
COPY README.md LICENSE ./
COPY consensus consensus
COPY p2p p2p
COPY storage storage
COPY sequencer sequencer
RUN pip install --quiet --no-deps .

FROM python:3.11-slim-bookworm
RUN groupadd --gid 1000 sequencer \
    && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /var/lib/sequencer sequencer \
    && install --directory --owner 1000 --group 1000 --mode 0700 /var/lib/sequencer
COPY --from=build /opt/sequencer /opt/sequencer
ENV PATH=/opt/sequencer/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 1000:1000
WORKDIR /var/lib/sequencer
# peers, JSON-RPC, metrics
EXPOSE 9000 8645 9464
ENTRYPOINT ["sequencer"]
CMD ["--help"]
