// Lists that objects belong to without an allocation, and leave by themselves.
#ifndef TOOLWIRE_COMMON_BASE_LINKED_LIST_H_
#define TOOLWIRE_COMMON_BASE_LINKED_LIST_H_

namespace toolwire {

// The part of an object that a list links: in one list at a time. Leaves it when destroyed.
class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { Leave(); }

  void Leave() {
    if (next_ == nullptr) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    prev_ = next_ = nullptr;
  }

 private:
  template <typename T>
  friend class LinkedList;
  ListNode* prev_ = nullptr;
  ListNode* next_ = nullptr;
};

// Of `T`s, which derive from ListNode and belong to others. Not thread-safe: a lock of the owner's covers the list and
// its nodes. Its nodes are in no list when it is destroyed.
template <typename T>
class LinkedList {
 public:
  LinkedList() { head_.prev_ = head_.next_ = &head_; }
  ~LinkedList() {
    while (!empty()) head_.next_->Leave();
  }

  bool empty() const { return head_.next_ == &head_; }
  // REQUIRES: not empty.
  T* front() { return static_cast<T*>(head_.next_); }
  // Also from another list.
  void PushBack(T* object) {
    ListNode* const node = object;
    node->Leave();
    node->prev_ = head_.prev_;
    node->next_ = &head_;
    head_.prev_->next_ = node;
    head_.prev_ = node;
  }
  // Takes over what is in `other`, however much it is.
  void TakeAll(LinkedList* other) {
    if (other->empty()) return;
    other->head_.next_->prev_ = head_.prev_;
    head_.prev_->next_ = other->head_.next_;
    other->head_.prev_->next_ = &head_;
    head_.prev_ = other->head_.prev_;
    other->head_.prev_ = other->head_.next_ = &other->head_;
  }

 private:
  ListNode head_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_LINKED_LIST_H_
