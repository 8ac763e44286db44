// jemalloc reads this when the process starts. A thread of its own gives memory back to the system 5 s after it was
// freed, also while nothing is allocated: after a burst a server is as small as before.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "background_thread:true,max_background_threads:1,dirty_decay_ms:5000,muzzy_decay_ms:0";
}
