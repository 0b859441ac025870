# The torch to install. For a GPU change this line, or set it in a command:
#   make demo TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cu130"
TORCH = torch==2.13.0
PYTHON = python3
UV_VERSION = 0.13.9
RUN = .venv/bin/python -m

.PHONY: demo demo-vqa test test-cluster check docs gpu fuzz loads bench evaluate serve lock
export PIP_DISABLE_PIP_VERSION_CHECK = 1

demo: .venv/installed
	.venv/bin/oresight curate tests/data/demo.yaml
	@.venv/bin/python tests/data/outcome.py tests/data/truth.csv demo/splits/curated demo/oresight.duckdb
	@cat tests/data/questions.txt

demo-vqa: .venv/installed
	.venv/bin/oresight curate tests/data/demo-vqa.yaml
	@.venv/bin/python tests/data/outcome.py tests/data/easy_vqa/truth.csv demo-vqa/splits/curated demo-vqa/oresight.duckdb
	@cat tests/data/questions-vqa.txt

# Runs three test files at a time, in the order of tests/conftest.py, because most tests wait for one core or for a server.
test: .venv/dev-installed
	$(RUN) pytest -n 3 --dist loadfile --no-loadscope-reorder --ignore=tests/test_cluster.py

# A real Ray cluster on this machine. It runs alone, because Ray ends its nodes if the machine is too busy to start them.
test-cluster: .venv/dev-installed
	$(RUN) pytest tests/test_cluster.py

check: .venv/dev-installed
	.venv/bin/ruff format --check flows tasks tests oresight.py
	.venv/bin/ruff check flows tasks tests oresight.py
	$(RUN) mypy
	$(RUN) pytest tests/test_house.py
	$(MAKE) docs

# The documentation as a site in build/site, which opens without a server. A link that leads nowhere is an error.
docs: .venv/dev-installed
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet

# Scoring on this machine's accelerator, compared with the bare forward pass. Without the project's environment, any python3
# with torch, transformers, safetensors and Pillow runs it, in a copy of this folder: python3 tests/bench/bench_gpu.py
gpu: .venv/installed
	.venv/bin/python tests/bench/bench_gpu.py

# Random files, configurations and SQL; FUZZ=2000 for more of each.
fuzz: .venv/dev-installed
	$(RUN) pytest tests/fuzz/fuzz_inputs.py

# Loads published folders with old and new releases of `datasets`, each in an environment of its own below .venv/loads.
loads: .venv/dev-installed
	$(RUN) pytest tests/loads/loads_releases.py

bench: .venv/dev-installed
	.venv/bin/python tests/bench/bench_ingest.py tests/data/dolly.jsonl 1
	.venv/bin/python tests/bench/bench_pictures.py
	.venv/bin/python tests/bench/bench_vqa.py
	.venv/bin/python tests/bench/bench_arithmetic.py
	.venv/bin/python tests/bench/bench_flags.py
	.venv/bin/python tests/bench/bench_flagging.py
	.venv/bin/python tests/bench/bench_sql.py
	.venv/bin/python tests/bench/bench_against.py
	.venv/bin/python tests/bench/bench_plan.py
	.venv/bin/python tests/bench/bench_match.py
	.venv/bin/pip install -q --no-deps dattri==0.3.0
	.venv/bin/python tests/bench/bench_scoring.py
	.venv/bin/python tests/bench/bench_scale.py

# Prints the tables of docs/evaluation.md, from the data beside the project. Known results are not measured again; to
# measure all of them, first run `rm -r evaluate`. `make evaluate QUICK=1` compares ways to choose rows on small pools only.
ROOT = $(shell .venv/bin/python -c "import easy_vqa as e; print(e.get_test_image_paths()[0].rsplit('/', 1)[0])")
ORESIGHT = .venv/bin/oresight
CONFIGS = tests/data/evaluate
# The ways of choosing rows, besides random, that finetunes are compared with. `make evaluate AGAINST=` compares with all.
AGAINST = --against "lowest value"
PICTURES = --set dataset.root=$(ROOT) --set reference.root=$(ROOT)
evaluate: .venv/dev-installed $(if $(QUICK),,methods)
	.venv/bin/python tests/data/make_pools.py $(if $(QUICK),quick)
	for target in $(TARGETS); do $(MAKE) pool-$$target || exit 1; done
	$(MAKE) pool-easy
	.venv/bin/python tests/data/collect_pools.py $(TARGETS)

.PHONY: methods
methods: .venv/dev-installed
	.venv/bin/python tests/data/make_evaluation.py
	$(ORESIGHT) ingest $(CONFIGS)/grammars.yaml
	$(ORESIGHT) evaluate $(CONFIGS)/grammars.yaml --classes variation --text text --seeds 5
	$(ORESIGHT) ingest $(CONFIGS)/dolly.yaml
	$(ORESIGHT) evaluate $(CONFIGS)/dolly.yaml --rows 80
	$(ORESIGHT) ingest $(CONFIGS)/gsm8k.yaml
	$(ORESIGHT) evaluate $(CONFIGS)/gsm8k.yaml --rows 50
	$(ORESIGHT) ingest $(CONFIGS)/easy.yaml $(PICTURES)
	$(ORESIGHT) evaluate $(CONFIGS)/easy.yaml --rows 400 $(PICTURES)
	$(ORESIGHT) curate $(CONFIGS)/swapped.yaml
	$(ORESIGHT) evaluate $(CONFIGS)/swapped.yaml --truth swapped
	$(ORESIGHT) settle $(CONFIGS)/swapped.yaml --test evaluate/swapped-test.jsonl --tokens 900 --rate 3e-3 $(AGAINST)
	$(ORESIGHT) curate $(CONFIGS)/stories.yaml
	$(ORESIGHT) settle $(CONFIGS)/stories.yaml --test evaluate/stories-test.jsonl --full --rate 1e-3 --no-finetune --curves --datamodels

# Which choice of rows trains the better model? One pool, several kinds of trusted rows (tests/data/make_pools.py).
TARGETS = $(if $(QUICK),dolly all,dolly gsm8k grammars two all clean)
BUDGETS = $(if $(QUICK),--share 0.1 --seeds 2,--share 0.1 --share 0.3 --seeds 5)
CHOICES = --against match --against TF-IDF --against "match on states" --against "highest value" $(if $(QUICK),,\
	--against BM25 --against "match on index" --against "highest value cosine" --against "lowest nll" \
	--against "highest embedding cosine" --against "clean rows" --against "all rows")
pool-easy: POOL = $(CONFIGS)/pool-easy.yaml $(PICTURES)
pool-clean: TRUSTED = dolly
pool-clean: CLEAN = --set dataset.name=clean --set dataset.path=evaluate/pool-clean.jsonl
pool-%: TRUSTED = $*
pool-%: POOL = $(CONFIGS)/pools.yaml --set database=evaluate/pool-$*.duckdb --set splitting.name=$* $(CLEAN) \
	--set reference.name=trusted-$(TRUSTED) --set reference.path=evaluate/pool-$(TRUSTED)-trusted.jsonl
pool-%:
	$(ORESIGHT) curate $(POOL)
	$(ORESIGHT) settle $(POOL) --test evaluate/pool-$(TRUSTED)-test.jsonl --truth wrong $(BUDGETS) $(CHOICES)

ALIVE = import urllib.request as u; u.urlopen('http://127.0.0.1:4200/api/health')
# Starts a Prefect server on loopback, all of deployments/, and a worker. CONFIG=FILE runs your data, not the demo's.
# The file .env holds its password. Prefect's programs and `oresight deploy` read it there if they start in this folder.
serve: export DO_NOT_TRACK = 1
serve: export PREFECT_SERVER_ANALYTICS_ENABLED = false
serve: export PREFECT_SERVER_UI_V2_ENABLED = false
serve: export PREFECT_CLIENT_RETRY_EXTRA_CODES = 500
# Without the password a web page of another site can do nothing. Should it know the password, it can neither read answers
# (CORS) nor change anything (CSRF). Prefect's defaults allow all of it.
serve: export PREFECT_SERVER_CORS_ALLOWED_ORIGINS = http://127.0.0.1:4200,http://localhost:4200
serve: export PREFECT_SERVER_CSRF_PROTECTION_ENABLED = true
serve: export PREFECT_API_URL = http://127.0.0.1:4200/api
serve: .venv/installed
	sh deployments/password.sh .env
	trap 'kill 0' EXIT; .venv/bin/prefect server start --host 127.0.0.1 & \
	until .venv/bin/python -c "$(ALIVE)" 2>/dev/null; do sleep 1; done; \
	.venv/bin/oresight deploy $(CONFIG) && echo "http://127.0.0.1:4200  (password: .env; end with Ctrl-C)" && \
	.venv/bin/prefect worker start --pool oresight --type process

# Installs all locked versions with their hashes, through uv, which takes seconds where pip takes minutes. torch is not in
# the lock, because the right build depends on the machine. Bytecode is compiled here, as pip does, and ours too: where Python
# may write none, every start would compile all packages again.
UV = .venv/bin/uv pip install -q --compile-bytecode --python .venv/bin/python
.venv/installed: requirements.lock pyproject.toml hatch_build.py Makefile
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/pip install -q uv==$(UV_VERSION) $(TORCH)
	$(UV) --no-deps --require-hashes -r requirements.lock
	$(UV) --no-deps --no-build-isolation -e .
	.venv/bin/python -m compileall -q flows tasks
	touch $@

.venv/dev-installed: .venv/installed requirements-dev.lock
	$(UV) --no-deps --require-hashes -r requirements-dev.lock
	touch $@

# Needs uv and, for the CPU build of torch, UV_FIND_LINKS or UV_TORCH_BACKEND=cpu: without it CUDA packages are locked too. Pinned
# versions stay as they are.
COMPILE = uv pip compile -q --generate-hashes --no-annotate --no-header --no-emit-package torch --no-emit-package torchvision --python-version 3.11
lock:
	echo "$(TORCH)+cpu" > .venv/torch.txt
	$(COMPILE) pyproject.toml --group build -c requirements.lock -c .venv/torch.txt -o .venv/a.lock
	$(COMPILE) --no-deps --group pyproject.toml:model -o .venv/b.lock
	$(COMPILE) pyproject.toml --group build --group dev -c requirements.lock -c requirements-dev.lock -c .venv/torch.txt -o .venv/c.lock
	cat .venv/a.lock .venv/b.lock > requirements.lock
	awk 'NR==FNR {if (/==/) s[$$1]=1; next} /^[a-z]/ {keep=!($$1 in s)} keep' requirements.lock .venv/c.lock > requirements-dev.lock
