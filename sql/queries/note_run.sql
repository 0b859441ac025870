UPDATE store.runs SET notes = json_merge_patch(notes, $found::JSON) WHERE run_id = $run_id;
